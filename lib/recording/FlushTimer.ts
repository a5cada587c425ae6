import { performance } from 'node:perf_hooks'

/**
 * Part of the flush interval that audio stays in memory; the remaining time is for the socket's batch, the tick and
 * the disk.
 */
const REST = 0.7
const TICKS_PER_INTERVAL = 10
const MIN_TICK = 5
const WATCH_INTERVAL = 1_000
/** Writes begun in one turn of the event loop, so that a thousand due recordings don't make one long turn. */
const TURN = 64
const COMPACT = 1_024

/** A block that the timer flushes. */
export interface Flushable {
  /** when its block is due, ms of performance.now(); set by the timer */
  dueAt: number
  flush(): void
  /** Checks for an operation that hangs. */
  watch(now: number): void
}

/**
 * One timer for all recordings. A recording joins when one of its blocks begins to fill. Every block waits equally
 * long: they are due in the order in which they joined.
 */
export class FlushTimer {
  readonly #rest: number
  readonly #tick: number
  readonly #watched = new Set<Flushable>()
  // a queue in two arrays, so that joining makes no object
  #waiting: Flushable[] = []
  #dueAt: number[] = []
  #next = 0
  #watchAt = 0
  #timer: NodeJS.Timeout | undefined

  /** `flushInterval` in ms */
  constructor(flushInterval: number) {
    this.#rest = flushInterval * REST
    this.#tick = Math.max(MIN_TICK, flushInterval / TICKS_PER_INTERVAL)
  }

  /** Calls `flush()` in time, unless the recording has begun another block by then. */
  due(recording: Flushable): void {
    recording.dueAt = performance.now() + this.#rest
    this.#waiting.push(recording)
    this.#dueAt.push(recording.dueAt)
  }

  /** Calls `watch()` every second until `unwatch()`. The timer runs while it has a recording to watch. */
  watch(recording: Flushable): void {
    this.#watched.add(recording)
    this.#timer ??= setInterval(() => this.#run(), this.#tick)
  }

  unwatch(recording: Flushable): void {
    this.#watched.delete(recording)
    if (this.#watched.size === 0) this.close()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#forget(this.#waiting.length)
  }

  #run(): void {
    const now = performance.now()
    this.#flushDue(now + this.#tick)
    if (now < this.#watchAt) return
    this.#watchAt = now + WATCH_INTERVAL
    for (const recording of this.#watched) recording.watch(now)
  }

  #flushDue(until: number): void {
    let begun = 0
    for (; this.#next < this.#waiting.length && begun < TURN; this.#next++) {
      const recording = this.#waiting[this.#next]
      const dueAt = this.#dueAt[this.#next]
      if (recording === undefined || dueAt === undefined || dueAt > until) break
      if (recording.dueAt !== dueAt) continue
      recording.flush()
      begun++
    }
    if (begun === TURN) {
      setImmediate(() => this.#flushDue(until))
    }
    // now and then: shift() for each would move the whole array each time
    if (this.#next === this.#waiting.length || this.#next > COMPACT) this.#forget(this.#next)
  }

  #forget(count: number): void {
    this.#waiting = this.#waiting.slice(count)
    this.#dueAt = this.#dueAt.slice(count)
    this.#next = 0
  }
}
