import { FRAME_MS } from './frames.js'

/** `ticks`: the messages of each ms at once, as a media server's timer sends them. `even`: one by one. */
export type Arrivals = 'ticks' | 'even'

/** Maximum ms to catch up; messages older than that are skipped. */
const MAX_LATE = 200

/**
 * Sends one message per call every 20 ms, the calls spread evenly over that time. It never sleeps: it has a core of
 * its own, and a timer would be late.
 */
export class Pacer {
  readonly #arrivals: Arrivals
  readonly #calls: ReadonlyArray<{ send(): void }>
  #running = false
  #next = 0
  #maxLateMs = 0

  constructor(calls: ReadonlyArray<{ send(): void }>, arrivals: Arrivals) {
    this.#calls = calls
    this.#arrivals = arrivals
  }

  /** ms by which the generator was late since the last call. With more than a few the result is invalid. */
  takeLateMs(): number {
    const late = this.#maxLateMs
    this.#maxLateMs = 0
    return late
  }

  start(): void {
    this.#running = true
    const perMs = this.#calls.length / FRAME_MS
    let began = performance.now()
    let sent = 0
    let last = began
    const turn = (): void => {
      if (!this.#running) return
      const now = performance.now()
      this.#maxLateMs = Math.max(this.#maxLateMs, now - last)
      last = now
      let due =
        Math.floor((this.#arrivals === 'ticks' ? Math.floor(now - began) : now - began) * perMs) - sent
      if (due > MAX_LATE * perMs) {
        began = now
        sent = 0
        due = 0
      }
      for (; due > 0; due--, sent++) {
        this.#calls[this.#next]?.send()
        this.#next = (this.#next + 1) % this.#calls.length
      }
      setImmediate(turn)
    }
    setImmediate(turn)
  }

  stop(): void {
    this.#running = false
  }
}
