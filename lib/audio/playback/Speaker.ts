import type { FastifyBaseLogger } from 'fastify'
import { Clearing } from './Clearing.js'
import { Marks } from './Marks.js'
import { writeCommand } from '../socket/messages.js'
import { Outlet, type OutletOptions } from './Outlet.js'
import { Placements, type Placement } from './Placements.js'
import { EXACT_RATE } from './Playout.js'
import { startTicking, stopTicking, type Ticking } from './ticker.js'
import type { MarkEvent, MarkOutcome } from '../socket/types.js'
import { SAMPLE_BYTES } from '../../pcm/samples.js'
import { WriteQueue } from './WriteQueue.js'

/** ms of audio given to jambonz ahead of the caller's ear. More at once would stall its one thread for all calls. */
const MAX_AHEAD = 60_000
/** The same where the application asks for pacing. */
export const PACED_AHEAD = 400
/** bytes of one message, so that a clear() is never stuck behind a long one */
const MAX_MESSAGE = 32_768
export interface SpeakerOptions extends OutletOptions {
  /** bytes written by the application that have not been taken, the chunk in hand included */
  backlog: () => number
  onMark: (mark: MarkEvent) => void
  logger: FastifyBaseLogger
}

/**
 * Audio on its way to the caller, in streaming mode: what the application writes, its marks and flushes go out in
 * the order they were asked for, and only in ways that jambonz plays as they were meant.
 */
export class Speaker implements Ticking {
  /** ms of audio ahead of the caller's ear; 0: as much as jambonz bears */
  aheadMs = 0
  readonly #options: SpeakerOptions
  readonly #perMs: number
  readonly #marks: Marks
  readonly #outlet: Outlet
  readonly #queue: WriteQueue
  readonly #placements = new Placements()
  readonly #clearing = new Clearing()
  #pumping = false
  #ended = false
  // What was dropped is answered in the next turn of the event loop, and nothing goes out before.
  #dropping = false
  // A mark at the end of what was sent holds back the rest.
  #heldByMark = false
  #marksWork = true

  constructor(options: SpeakerOptions) {
    this.#options = options
    this.#perMs = (options.rate * SAMPLE_BYTES) / 1000
    this.#marks = new Marks(options.onMark)
    this.#outlet = new Outlet(options, this.#marks, () => this.#pump())
    this.#queue = new WriteQueue(options.backlog)
  }

  get sentMs(): number {
    return this.#outlet.playout.sentMs
  }

  get playedMs(): number {
    return this.#outlet.playout.playedMs(performance.now(), this.#marks.limitMs)
  }

  /** The next chunk; `done` asks for another. */
  write(chunk: Buffer, done: () => void): void {
    if (this.#ended) return done()
    this.#queue.write(chunk, done)
    this.#pump()
  }

  mark(name: string): Promise<MarkOutcome> {
    this.#outlet.marksUsed = true
    return new Promise((resolve) => {
      if (this.#ended) return resolve('cleared')
      const drop = () => {
        resolve('cleared')
        this.#options.onMark({ name, event: 'cleared' })
      }
      this.#place({ isMark: true, place: (now) => this.#placeMark(name, resolve, now), drop })
    })
  }

  /** jambonz is told nothing: its own clearMarks shifts all later marks (mod_audio_fork). */
  clearMarks(): void {
    this.#placements.dropMarks()
    this.#marks.forget()
    this.#pump()
  }

  /** Has the end of what was written played as well: jambonz hands audio over in lots. */
  flush(done: () => void): void {
    if (this.#ended) return done()
    const place = (now: number) => {
      this.#outlet.pad(now)
      done()
      return true
    }
    this.#place({ isMark: false, place, drop: done })
  }

  /** Stops playback at once and throws away everything written so far. */
  clear(): void {
    const now = performance.now()
    this.#queue.drop()
    this.#dropLater(this.#placements.takeAll())
    if (!this.#clearing.underWay) {
      // The module empties its playout buffer but not the prebuffer before it: what waits there moves on first.
      this.#outlet.pad(now)
      this.#outlet.command(writeCommand({ type: 'killAudio' }))
      this.#outlet.playout.clear(now, this.#marks.limitMs)
      this.#marks.clearClocked()
      this.#heldByMark = false
      this.#clearing.begin(now, this.#marksWork)
    }
  }

  /** A mark reported by jambonz. false: it is none of ours. */
  reported(event: MarkEvent): boolean {
    if (this.#clearing.isFence(event.name)) return this.#cleared()
    const now = performance.now()
    const mark = this.#marks.find(event)
    if (mark === undefined) return this.#marks.isLate(event)
    if (event.event === 'playout' && this.#outlet.isTooEarly(mark.positionMs, now)) {
      this.#distrustMarks(
        `jambonz reported the mark "${mark.name}" before it can have been heard: the call's rate is not ${this.#options.rate} Hz`
      )
      return true
    }
    this.#marks.report(mark, event.event)
    if (event.event === 'playout') this.#outlet.playout.reported(mark.positionMs, now)
    if (this.#marks.waiting === 0) this.#heldByMark = false
    // One that was played while the kill was under way proves nothing about it.
    if (this.#marks.waiting === 0 && event.event === 'cleared') return this.#cleared()
    this.#pump()
    return true
  }

  /** The socket is gone: what waits here was never heard. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    stopTicking(this)
    for (const { drop } of this.#placements.takeAll()) drop()
    this.#marks.clearAll()
    this.#queue.close()
  }

  tick(now: number): void {
    if (this.#clearing.isOverdue(now)) {
      this.#marks.clearAll()
      this.#cleared()
    }
    this.#marks.played(this.#outlet.playout.playedMs(now, this.#marks.limitMs))
    this.#loseMarks(now)
    if (this.#queue.empty && this.#placements.next === undefined && this.#outlet.isNearDry(now)) {
      this.#outlet.pad(now)
    }
    this.#pump()
  }

  // At once, a loop over clear() and what it drops would never let the event loop turn.
  #dropLater(dropped: Placement[]): void {
    this.#dropping = true
    setImmediate(() => {
      this.#dropping = false
      this.#pump()
      for (const { drop } of dropped) drop()
    })
  }

  #place(placement: Omit<Placement, 'at'>): void {
    this.#placements.add({ at: this.#queue.end, ...placement })
    this.#pump()
  }

  #pump(): void {
    if (this.#pumping || this.#dropping || this.#ended) return
    this.#pumping = true
    try {
      const now = performance.now()
      while (this.#step(now));
    } finally {
      this.#pumping = false
    }
    const idle =
      !this.#clearing.underWay &&
      this.#queue.empty &&
      this.#placements.next === undefined &&
      this.#marks.size === 0 &&
      this.#outlet.playout.missing === 0
    if (idle || this.#ended) stopTicking(this)
    else startTicking(this)
  }

  // Does the next thing there is to do. false: there is none, or it has to wait.
  #step(now: number): boolean {
    if (this.#ended) return false
    if (this.#queue.skip()) return true
    if (this.#clearing.underWay) return this.#raiseFence()
    if (this.#outlet.blocked) return false
    const { next } = this.#placements
    if (next !== undefined && next.at <= this.#queue.position) {
      if (!next.place(now)) return false
      this.#placements.remove(next)
      return true
    }
    return !this.#heldByMark && this.#speak(now, next?.at ?? Infinity)
  }

  // Something is to follow a clear, and no mark tells of that.
  #raiseFence(): boolean {
    const needed = !this.#queue.empty || this.#placements.next !== undefined
    if (!needed || !this.#marksWork || this.#marks.waiting > 0 || this.#marks.stale > 0) return false
    const name = this.#clearing.raiseFence()
    if (name !== undefined) this.#outlet.command(writeCommand({ type: 'mark', data: { name } }))
    return false
  }

  #cleared(): true {
    this.#clearing.end()
    this.#pump()
    return true
  }

  #speak(now: number, until: number): boolean {
    const room = Math.floor(
      (this.aheadMs === 0 ? MAX_AHEAD : this.aheadMs) - this.#outlet.playout.aheadMs(now)
    )
    const audio = this.#queue.take(Math.min(until - this.#queue.position, MAX_MESSAGE, room * this.#perMs))
    if (audio === undefined) return false
    // Asking for the next chunk runs the application's code, which may have cleared this one.
    if (audio.length === 0 || this.#clearing.underWay) return true
    this.#outlet.audio(audio, now)
    return true
  }

  #placeMark(name: string, settle: (outcome: MarkOutcome) => void, now: number): boolean {
    const more = !this.#queue.empty
    const inBand = this.#options.rate === EXACT_RATE && !this.#outlet.isTainted(now)
    // Where marks inside the audio can't be trusted, the clock tells; only one with nothing after it is sent.
    if (!this.#marksWork || (!inBand && more)) {
      this.#marks.place(name, false, this.#outlet.playout.sentMs, now, settle)
      return true
    }
    if (this.#marks.full) return false
    const tail = this.#outlet.playout.missing > 0
    if ((tail || !inBand) && !more && !this.#outlet.isNearDry(now)) return false
    if (!inBand) this.#outlet.pad(now)
    // With nothing after it, a mark is only looked at when no stale one stands before it.
    if (!more) this.#outlet.cure(now)
    const { wireName } = this.#marks.place(
      name,
      true,
      this.#outlet.playout.sentMs,
      now + this.#outlet.playout.aheadMs(now),
      settle
    )
    this.#outlet.command(writeCommand({ type: 'mark', data: { name: wireName } }))
    if (!inBand) this.#heldByMark = true
    else if (tail && !more) this.#outlet.pad(now)
    return true
  }

  #loseMarks(now: number): void {
    const lost = this.#marks.takeLost(now)
    if (lost !== undefined) this.#distrustMarks(`jambonz did not report the mark "${lost.name}"`)
  }

  #distrustMarks(why: string): void {
    this.#heldByMark = false
    this.#marksWork = false
    this.#marks.distrust()
    this.#options.logger.warn(`${why}; marks are told by the clock from now on`)
    this.#pump()
  }
}
