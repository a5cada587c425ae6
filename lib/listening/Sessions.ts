import { withinMs } from '../model/withinMs.js'
import { Pace } from './Pace.js'
import type { Session } from './Session.js'

export interface DrainOptions {
  /** ms that live streams are given to end by themselves */
  timeoutMs: number
  /** let other instances go on with the streams */
  handover: boolean
  /** ms that the actionHook of a stream which we ended may take to come */
  hookPatience: number
}

/** The live sockets of this instance. */
export class Sessions {
  readonly #sessions = new Set<Session>()
  #sealed = false
  #handingOver = false
  // Nobody is given time any more.
  #ending = false

  /** true once `drain()` has begun: no new stream is taken. */
  get sealed(): boolean {
    return this.#sealed
  }

  /** true where other instances go on with what this one no longer takes. */
  get handingOver(): boolean {
    return this.#handingOver
  }

  get size(): number {
    return this.#sessions.size
  }

  add(session: Session): void {
    this.#sessions.add(session)
    session.over.finally(() => this.#sessions.delete(session))
    // It was let in before the drain, and has come to its upgrade since.
    if (this.#handingOver && session.handOver()) return
    if (this.#ending) session.stop()
  }

  /** Reads at once what the listen's socket holds. */
  nudge(listenId: string): void {
    for (const { stream } of this.#sessions) {
      if (stream.listen?.id === listenId) stream.nudge()
    }
  }

  /**
   * Takes no new streams; hands over those that can be, where that is wanted; gives the others `timeoutMs` to end by
   * themselves, then ends them so that jambonz calls their actionHooks. Resolves when every recording is final and the
   * hooks have come, here or elsewhere.
   */
  async drain({ timeoutMs, handover, hookPatience }: DrainOptions): Promise<void> {
    this.#sealed = true
    this.#handingOver ||= handover
    const handed = handover ? await this.#handOver() : []
    if (timeoutMs > 0) await withinMs(timeoutMs, this.#allOver())
    this.#ending = true
    const ended = Array.from(this.#sessions)
    for (const session of ended) session.stop()
    await this.#allOver()
    if (hookPatience > 0) {
      await Promise.all([...handed, ...ended].map((session) => session.hooked(hookPatience)))
    }
  }

  async #handOver(): Promise<Session[]> {
    const pace = new Pace()
    const handed: Session[] = []
    for (const session of Array.from(this.#sessions)) {
      if (!session.handOver()) continue
      handed.push(session)
      await pace.add(session.released)
    }
    return handed
  }

  /** Those that come meanwhile included. */
  async #allOver(): Promise<void> {
    while (this.#sessions.size > 0) await Promise.all(Array.from(this.#sessions, ({ over }) => over))
  }
}
