import type { Session } from './Session.js'

/** The live sockets of this instance. */
export class Sessions {
  readonly #sessions = new Set<Session>()
  #sealed = false

  /** true once `drain()` has begun: no new stream is taken. */
  get sealed (): boolean {
    return this.#sealed
  }

  get size (): number {
    return this.#sessions.size
  }

  add (session: Session): void {
    this.#sessions.add(session)
    session.over.finally(() => this.#sessions.delete(session))
  }

  /** Reads at once what the listen's socket holds. */
  nudge (listenId: string): void {
    for (const { stream } of this.#sessions) {
      if (stream.listen?.id === listenId) stream.nudge()
    }
  }

  /**
   * Takes no new streams, gives the live ones `timeoutMs` to end by themselves, then ends them so that jambonz calls
   * their actionHooks. Resolves when every recording is final.
   */
  async drain (timeoutMs: number): Promise<void> {
    this.#sealed = true
    if (timeoutMs > 0) await this.#allOver(timeoutMs)
    for (const { stream } of this.#sessions) stream.stop('drained').catch(() => {})
    await Promise.all(Array.from(this.#sessions, ({ over }) => over))
  }

  async #allOver (timeoutMs: number): Promise<void> {
    const { promise, resolve } = withResolvers()
    const timer = setTimeout(resolve, timeoutMs)
    await Promise.race([promise, Promise.all(Array.from(this.#sessions, ({ over }) => over))])
    clearTimeout(timer)
  }
}

function withResolvers (): { promise: Promise<void>, resolve: () => void } {
  let resolve!: () => void
  const promise = new Promise<void>((_resolve) => { resolve = _resolve })
  return { promise, resolve }
}
