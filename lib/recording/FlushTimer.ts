import { performance } from 'node:perf_hooks'

/**
 * The part of the flush interval during which audio stays in memory. The rest is left for the socket's batch, the tick
 * of the timer and the disk.
 */
const REST = 0.7
const TICKS_PER_INTERVAL = 10
const MIN_TICK = 5
const WATCH_INTERVAL = 1_000
/**
 * Maximum number of writes that begin in one turn of the event loop, since a thousand at once would block it.
 */
const TURN = 64
const COMPACT = 1_024

/** A recording whose block the timer flushes. */
export interface Flushable {
  /** time at which the block has to be written, ms of performance.now(); set by the timer */
  dueAt: number
  flush(): void
  /** Fails the recording if its current operation hangs. */
  watch(now: number): void
}

/**
 * The timer that flushes the blocks of all recordings. A recording joins when its block gets its first audio. All
 * blocks wait equally long, so they are due in the order in which they joined.
 */
export class FlushTimer {
  readonly #rest: number
  readonly #tick: number
  readonly #watched = new Set<Flushable>()
  // The queue is kept in two arrays, so that joining allocates no object.
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

  /** Calls `recording.flush()` when its block is due, unless the recording has begun another block by then. */
  due(recording: Flushable): void {
    recording.dueAt = performance.now() + this.#rest
    this.#waiting.push(recording)
    this.#dueAt.push(recording.dueAt)
  }

  /**
   * Calls `recording.watch()` every second until `unwatch(recording)`. The timer runs while it watches a
   * recording.
   */
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
    // The array is compacted rarely, since a shift() for each recording would move the whole array each time.
    if (this.#next === this.#waiting.length || this.#next > COMPACT) this.#forget(this.#next)
  }

  #forget(count: number): void {
    this.#waiting = this.#waiting.slice(count)
    this.#dueAt = this.#dueAt.slice(count)
    this.#next = 0
  }
}
