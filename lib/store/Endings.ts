/** Waits for changes of one listen. Signals that come between two waits are not missed. */
export interface EndingWaiter {
  /** Resolves at the next signal, at once when there was one since the last wait, or after `ms`. */
  wait(ms: number): Promise<void>
  close(): void
}

/** Who waits for changes of which listen. */
export class Endings {
  readonly #waiters = new Map<string, Set<Waiter>>()

  waiter(callSid: string, listenId: string): EndingWaiter {
    const key = keyOf(callSid, listenId)
    const waiters = this.#waiters.get(key) ?? new Set()
    this.#waiters.set(key, waiters)
    const waiter = new Waiter(() => {
      waiters.delete(waiter)
      if (waiters.size === 0) this.#waiters.delete(key)
    })
    waiters.add(waiter)
    return waiter
  }

  /** Something about the listen has changed. */
  signal(callSid: string, listenId: string): void {
    if (this.#waiters.size === 0) return
    for (const waiter of this.#waiters.get(keyOf(callSid, listenId)) ?? []) waiter.signal()
  }

  /** Something may have changed unheard: everybody looks again. */
  signalAll(): void {
    for (const waiters of this.#waiters.values()) {
      for (const waiter of waiters) waiter.signal()
    }
  }
}

class Waiter implements EndingWaiter {
  readonly close: () => void
  #signalled = false
  #wake?: () => void

  constructor(close: () => void) {
    this.close = close
  }

  signal(): void {
    this.#signalled = true
    this.#wake?.()
  }

  async wait(ms: number): Promise<void> {
    if (!this.#signalled) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#wake = undefined
    }
    this.#signalled = false
  }
}

function keyOf(callSid: string, listenId: string): string {
  return JSON.stringify([callSid, listenId])
}
