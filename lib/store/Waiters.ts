import { listenIn } from '../model/callWrite.js'
import type { StoredCall, StoredListen } from '../model/schema.js'

export interface Wait {
  callSid: string
  listenId: string
  /** Reads the call. */
  look: () => Promise<StoredCall | undefined>
  /** Returns true if the listen has reached the awaited state. `known` is false if the call is unknown. */
  reached: (listen: StoredListen | undefined, known: boolean) => boolean
  timeoutMs: number
  /** ms between two reads, in case a signal is lost. If undefined, the call is read only after signals. */
  lookEvery?: number
}

/** The functions of this process that wait until a listen changes. */
export class Waiters {
  readonly #waiters = new Map<string, Set<Waiter>>()
  #closed = false

  /** Resolves to the call when its listen has reached the awaited state, or after the timeout. */
  async until({
    callSid,
    listenId,
    look,
    reached,
    timeoutMs,
    lookEvery
  }: Wait): Promise<StoredCall | undefined> {
    const deadline = performance.now() + timeoutMs
    const key = keyOf(callSid, listenId)
    const waiter = this.#add(key)
    try {
      for (;;) {
        const call = await look()
        const left = deadline - performance.now()
        if (reached(listenIn(call, listenId), call !== undefined) || left <= 0 || this.#closed) return call
        await waiter.wait(Math.min(left, lookEvery ?? left))
      }
    } finally {
      this.#remove(key, waiter)
    }
  }

  /** Makes the waiters of a listen read their call again. */
  wake(callSid: string, listenId: string): void {
    if (this.#waiters.size === 0) return
    for (const waiter of this.#waiters.get(keyOf(callSid, listenId)) ?? []) waiter.signal()
  }

  /** Makes all waiters read their calls again, since a signal may have been lost. */
  wakeAll(): void {
    for (const waiters of this.#waiters.values()) {
      for (const waiter of waiters) waiter.signal()
    }
  }

  /** Ends all waits. */
  close(): void {
    this.#closed = true
    this.wakeAll()
  }

  #add(key: string): Waiter {
    const waiter = new Waiter()
    const waiters = this.#waiters.get(key) ?? new Set()
    this.#waiters.set(key, waiters.add(waiter))
    return waiter
  }

  #remove(key: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(key)
    waiters?.delete(waiter)
    if (waiters?.size === 0) this.#waiters.delete(key)
  }
}

/** One waiting function. A signal that arrives between two reads is kept for the next `wait()`. */
class Waiter {
  #signalled = false
  #wake?: () => void

  signal(): void {
    this.#signalled = true
    this.#wake?.()
  }

  /**
   * Resolves at the next signal, or after `ms`. Resolves at once if a signal came since the last `wait()`.
   */
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
