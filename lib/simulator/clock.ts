/** Length of one media frame in ms; jambonz' media server works in frames of 20 ms. */
export const FRAME_MS = 20

// ms. At speed Infinity, simulated time runs as fast as real time once the peer takes longer than this to answer.
const HOLD_GRACE_MS = 1_000
// At speed Infinity, while no event is scheduled, simulated time runs this much faster than real time, so that the peer
// has time to act.
const IDLE_PACE = 20
const HELD_PACE = 1
const MAX_BURST = 100
const MIN_REAL_TIMEOUT_MS = 250

export type Cancel = () => void

interface Timer {
  at: number
  order: number
  run: () => void
}

/**
 * The clock of a simulated call, in ms since its start.
 *
 * With a finite `speed`, simulated time is real time multiplied by `speed`. A late turn of the event loop catches up,
 * so the clock does not drift. With `Infinity`, the clock jumps from one due event to the next. It stands still while
 * the call waits for an HTTP request, an upgrade or a full socket (`hold`). Short exchanges then take no simulated
 * time, and the same call always has the same times.
 */
export class Clock {
  readonly speed: number
  #now = 0
  #anchorReal = performance.now()
  #anchorNow = 0
  #pace: number
  #timers: Timer[] = []
  #order = 0
  #nextTick = Infinity
  #tick: ((now: number) => void) | undefined
  #eager!: () => boolean
  #holds = 0
  #heldSince = 0
  #sleep: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  #turning = false
  #stopped = false

  constructor(speed: number) {
    this.speed = speed
    this.#pace = speed
  }

  /**
   * Returns the simulated ms since the call began. The value never goes back, and never passes an event that is due.
   */
  now(): number {
    // At speed Infinity only events advance the time, so that the same call always has the same times.
    if (this.#turning || this.#stopped || this.speed === Infinity) return this.#now
    return Math.max(this.#now, Math.min(this.#reached(), this.#due()))
  }

  /** Runs `run` at the simulated time `at` (ms). Events of the same time run in the order of these calls. */
  at(at: number, run: () => void): Cancel {
    const timer: Timer = { at: Math.max(at, this.#now), order: this.#order++, run }
    let index = this.#timers.length
    while (index > 0 && this.#timers[index - 1]!.at > timer.at) index--
    this.#timers.splice(index, 0, timer)
    this.#reschedule()
    return () => {
      const found = this.#timers.indexOf(timer)
      if (found !== -1) this.#timers.splice(found, 1)
    }
  }

  /** Resolves after `ms` simulated ms, or when `signal` aborts. */
  wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        cancel()
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const cancel = this.at(this.now() + ms, done)
      signal?.addEventListener('abort', done, { once: true })
    })
  }

  /**
   * Calls `tick` every 20 simulated ms from now on, for the audio of the call. `eager` returns true while the clock may
   * jump at speed Infinity.
   */
  startTicks(tick: (now: number) => void, eager: () => boolean): void {
    this.#tick = tick
    this.#eager = eager
    this.#nextTick = this.now() + FRAME_MS
    this.#reschedule()
  }

  stopTicks(): void {
    this.#tick = undefined
    this.#nextTick = Infinity
  }

  /** Stops the time at speed Infinity until the returned function is called, because the call waits for a peer. */
  hold(): Cancel {
    if (this.#holds++ === 0) this.#heldSince = performance.now()
    let released = false
    return () => {
      if (released) return
      released = true
      this.#holds--
      this.#reschedule()
    }
  }

  /** Limits the time that a peer has to answer, in real ms at every speed. */
  deadline(ms: number, run: () => void): Cancel {
    const handle = setTimeout(run, ms)
    return () => clearTimeout(handle)
  }

  /** Limits the time that a peer has: `ms` simulated ms, but at least 250 real ms; at speed Infinity `ms` real ms. */
  timeout(ms: number, run: () => void): Cancel {
    const real = this.speed === Infinity ? ms : Math.max(ms / this.speed, Math.min(ms, MIN_REAL_TIMEOUT_MS))
    const handle = setTimeout(run, real)
    return () => clearTimeout(handle)
  }

  /** Stops the clock: nothing runs any more. */
  stop(): void {
    this.#now = this.now()
    this.#stopped = true
    this.#timers = []
    this.stopTicks()
    clearTimeout(this.#sleep)
    clearImmediate(this.#immediate)
  }

  #due(): number {
    return Math.min(this.#nextTick, this.#timers[0]?.at ?? Infinity)
  }

  #reached(): number {
    if (this.#pace === Infinity || this.#pace === 0) return this.#now
    return this.#anchorNow + (performance.now() - this.#anchorReal) * this.#pace
  }

  #wantedPace(): number {
    if (this.speed !== Infinity) return this.speed
    if (this.#holds > 0) return performance.now() - this.#heldSince < HOLD_GRACE_MS ? 0 : HELD_PACE
    return this.#timers.length > 0 || this.#eager() ? Infinity : IDLE_PACE
  }

  #setPace(): void {
    const pace = this.#wantedPace()
    if (pace === this.#pace) return
    this.#now = this.now()
    this.#anchor()
    this.#pace = pace
  }

  #anchor(): void {
    this.#anchorNow = this.#now
    this.#anchorReal = performance.now()
  }

  #reschedule(): void {
    if (this.#turning || this.#stopped) return
    clearTimeout(this.#sleep)
    clearImmediate(this.#immediate)
    const due = this.#due()
    if (due === Infinity) return
    this.#setPace()
    if (this.#pace === Infinity || due <= this.#now) {
      this.#immediate = setImmediate(this.#turn)
    } else if (this.#pace === 0) {
      this.#sleep = setTimeout(this.#turn, HOLD_GRACE_MS)
    } else {
      const delay = (due - this.#reached()) / this.#pace
      if (delay <= 0) this.#immediate = setImmediate(this.#turn)
      else this.#sleep = setTimeout(this.#turn, Math.ceil(delay))
    }
  }

  readonly #turn = (): void => {
    this.#setPace()
    const began = this.#now
    const reached = this.#pace === Infinity ? Infinity : this.#reached()
    // At speed Infinity a late turn does not catch up, because the peer may run in this process and have had no time
    // either.
    const limit = this.speed === Infinity ? Math.min(reached, this.#due()) : reached
    this.#turning = true
    try {
      for (let burst = 0; burst < MAX_BURST && !this.#stopped; burst++) {
        const due = this.#due()
        if (due > limit || due === Infinity) break
        this.#now = due
        if (due === this.#timers[0]?.at) {
          this.#timers.shift()!.run()
        } else {
          this.#nextTick += FRAME_MS
          this.#tick?.(due)
        }
      }
    } finally {
      this.#turning = false
    }
    if (this.speed === Infinity && this.#now > began) this.#anchor()
    this.#reschedule()
  }
}
