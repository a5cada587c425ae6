import { FRAME_MS } from './frames.js'

/**
 * How messages are spread over time. `ticks`: all messages of a ms are sent at once, as the timer of a media
 * server does. `even`: messages are sent one by one, at equal intervals.
 */
export type Arrivals = 'ticks' | 'even'

/** Maximum ms by which the pacer may lag and still catch up. If it lags more, it skips messages. */
const MAX_LATE = 200

/**
 * Sends a message on each call every 20 ms. The calls are spread evenly over the 20 ms. The pacer never
 * sleeps, because a timer would be late; it therefore needs its own core.
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

  /**
   * Returns the ms by which the load generator was late since the last call of this method. The result of the
   * benchmark is invalid if this is more than a few ms.
   */
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
