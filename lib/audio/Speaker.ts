import type { FastifyBaseLogger } from 'fastify'
import { Marks } from './Marks.js'
import { writeCommand } from './messages.js'
import { EXACT_RATE, Playout } from './Playout.js'
import { hasMarkSample, silenceOf, withoutMarkSamples } from './samples.js'
import { startTicking, stopTicking, type Ticking } from './ticker.js'
import type { MarkEvent, MarkOutcome } from './types.js'
import { LOT_MS, SAMPLE_BYTES, TICK_MS } from './wire.js'
import { WriteQueue } from './WriteQueue.js'

/** ms of audio given to jambonz ahead of the caller's ear. More at once would stall its one thread for all calls. */
const MAX_AHEAD = 60_000
/** The same where the application asks for pacing. */
export const PACED_AHEAD = 400
/** bytes of one message, so that a clear() is never stuck behind a long one */
const MAX_MESSAGE = 32_768
/** bytes that may wait in the process to be sent */
const MAX_UNSENT = 131_072
/** ms before jambonz runs dry at which the tail of an utterance is padded, if nothing has come for as long. */
const NEAR_DRY = 60
/** ms without audio after which the beginning of an utterance is played, too short for jambonz to begin with. */
const SHORT_WAIT = 200
/** ms by which the caller may hear audio later than the clock says. */
const TAINT_MARGIN = 500
/** ms in which jambonz is sure to have seen a killAudio that no mark reports on. */
const CLEAR_HOLD = 3 * TICK_MS
/** ms that jambonz has to report the marks it cleared. */
const CLEAR_DEADLINE = 1_000

export interface SpeakerOptions {
  /** Hz of the audio sent to jambonz */
  rate: number
  send: (data: Buffer | string, sent?: () => void) => void
  /** bytes sent that are still in the process */
  unsent: () => number
  /** bytes written by the application that have not been taken, the chunk in hand included */
  backlog: () => number
  onMark: (mark: MarkEvent) => void
  logger: FastifyBaseLogger
}

/** What happens at a place in the audio. */
interface Placement {
  at: number
  /** returns false while it can't be done yet */
  place: (now: number) => boolean
  drop: () => void
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
  readonly #playout: Playout
  readonly #marks: Marks
  readonly #queue: WriteQueue
  #placements: Placement[] = []
  #pumping = false
  #blocked = false
  #ended = false
  // What holds audio back: a mark at the end of what was sent, or a clear that jambonz has not carried out.
  #heldByMark = false
  #clearingUntil: number | undefined
  #marksUsed = false
  #marksWork = true
  // Until then audio is being played that may contain samples which look like marks.
  #taintedUntil = -Infinity
  #lastAudioAt = -Infinity

  constructor (options: SpeakerOptions) {
    this.#options = options
    this.#perMs = options.rate * SAMPLE_BYTES / 1000
    this.#playout = new Playout(options.rate)
    this.#marks = new Marks(options.onMark)
    this.#queue = new WriteQueue(options.backlog)
  }

  get sentMs (): number {
    return this.#playout.sentMs
  }

  get playedMs (): number {
    return this.#playout.playedMs(performance.now(), this.#marks.limitMs)
  }

  /** The next chunk; `done` asks for another. */
  write (chunk: Buffer, done: () => void): void {
    if (this.#ended) return done()
    this.#queue.write(chunk, done)
    this.#pump()
  }

  mark (name: string): Promise<MarkOutcome> {
    this.#marksUsed = true
    return new Promise((resolve) => {
      if (this.#ended) return resolve('cleared')
      this.#place((now) => this.#placeMark(name, resolve, now), () => {
        resolve('cleared')
        this.#options.onMark({ name, event: 'cleared' })
      })
    })
  }

  /** jambonz is told nothing: its own clearMarks shifts all later marks (mod_audio_fork). */
  clearMarks (): void {
    this.#dropPlacements()
    this.#marks.forget()
    this.#pump()
  }

  /** Has the end of what was written played as well: jambonz hands audio over in lots. */
  flush (done: () => void): void {
    this.#place((now) => {
      this.#pad(now)
      done()
      return true
    }, done)
  }

  /** Stops playback at once and throws away everything written so far. */
  clear (): void {
    const now = performance.now()
    this.#queue.drop()
    this.#dropPlacements()
    if (this.#clearingUntil === undefined) {
      // The module empties its playout buffer but not the prebuffer before it: what waits there moves on first.
      this.#pad(now)
      this.#options.send(writeCommand({ type: 'killAudio' }))
      this.#playout.clear(now, this.#marks.limitMs)
      this.#marks.clearClocked()
      this.#heldByMark = false
      // Audio that jambonz gets before it has looked at the kill would be thrown away too.
      this.#clearingUntil = now + (this.#marks.waiting > 0 ? CLEAR_DEADLINE : CLEAR_HOLD)
    }
    this.#pump()
  }

  /** A mark reported by jambonz. false: it is none of ours. */
  reported (event: MarkEvent): boolean {
    const now = performance.now()
    const mark = this.#marks.report(event)
    if (mark === undefined) return this.#marks.isLate(event)
    if (event.event === 'playout') this.#playout.reported(mark.positionMs, now)
    if (this.#marks.waiting === 0) {
      this.#heldByMark = false
      // One that was played while the kill was under way proves nothing about it.
      if (event.event === 'cleared') this.#clearingUntil = undefined
      else if (this.#clearingUntil !== undefined) this.#clearingUntil = now + CLEAR_HOLD
    }
    this.#pump()
    return true
  }

  /** The socket is gone: what waits here was never heard. */
  end (): void {
    if (this.#ended) return
    this.#ended = true
    stopTicking(this)
    this.#dropPlacements()
    this.#marks.clearAll()
    this.#queue.close()
  }

  tick (now: number): void {
    if (this.#clearingUntil !== undefined && now >= this.#clearingUntil) {
      this.#clearingUntil = undefined
      this.#marks.clearAll()
    }
    this.#marks.played(this.#playout.playedMs(now, this.#marks.limitMs))
    this.#loseMarks(now)
    if (this.#queue.empty && this.#placements.length === 0 && this.#nearDry(now)) this.#pad(now)
    this.#pump()
  }

  #place (place: Placement['place'], drop: Placement['drop']): void {
    this.#placements.push({ at: this.#queue.end, place, drop })
    this.#pump()
  }

  #dropPlacements (): void {
    const dropped = this.#placements
    this.#placements = []
    for (const { drop } of dropped) drop()
  }

  #pump (): void {
    if (this.#pumping || this.#ended) return
    this.#pumping = true
    try {
      const now = performance.now()
      while (this.#step(now));
    } finally {
      this.#pumping = false
    }
    const idle = this.#clearingUntil === undefined && this.#queue.empty && this.#placements.length === 0 &&
      this.#marks.size === 0 && this.#playout.missing === 0
    if (idle || this.#ended) stopTicking(this)
    else startTicking(this)
  }

  // Does the next thing there is to do. false: there is none, or it has to wait.
  #step (now: number): boolean {
    if (this.#ended) return false
    if (this.#queue.skip()) return true
    if (this.#clearingUntil !== undefined || this.#blocked) return false
    const next = this.#placements[0]
    if (next !== undefined && next.at <= this.#queue.position) {
      if (!next.place(now)) return false
      this.#placements = this.#placements.filter((other) => other !== next)
      return true
    }
    return !this.#heldByMark && this.#speak(now, next?.at ?? Infinity)
  }

  #speak (now: number, until: number): boolean {
    const room = Math.floor((this.aheadMs === 0 ? MAX_AHEAD : this.aheadMs) - this.#playout.aheadMs(now))
    const audio = this.#queue.take(Math.min(until - this.#queue.position, MAX_MESSAGE, room * this.#perMs))
    if (audio === undefined) return false
    // Asking for the next chunk runs the application's code, which may have cleared this one.
    if (audio.length === 0 || this.#clearingUntil !== undefined) return true
    this.#transmit(this.#marksUsed ? withoutMarkSamples(audio) : audio, now)
    this.#playout.audio(audio.length / SAMPLE_BYTES, now)
    this.#lastAudioAt = now
    if (!this.#marksUsed && hasMarkSample(audio)) this.#taintedUntil = now + this.#playout.aheadMs(now) + TAINT_MARGIN
    return true
  }

  #transmit (audio: Buffer, now: number): void {
    let data = audio
    const { stale } = this.#marks
    if (stale > 0) {
      // Each of these samples makes the module forget one mark whose place in the audio it has thrown away.
      data = Buffer.concat([Buffer.alloc(stale * SAMPLE_BYTES, 0xff), audio])
      this.#playout.silence(stale, now)
      this.#marks.cure()
    }
    this.#marks.enterAudio()
    if (this.#options.unsent() < MAX_UNSENT) return this.#options.send(data)
    this.#blocked = true
    this.#options.send(data, () => {
      this.#blocked = false
      this.#pump()
    })
  }

  // Silence that has the rest of what was sent played.
  #pad (now: number): void {
    if (this.#playout.missing > 0) this.#silence(this.#playout.missing, now)
  }

  #silence (samples: number, now: number): void {
    this.#transmit(silenceOf(samples), now)
    this.#playout.silence(samples, now)
  }

  // jambonz will soon have nothing more to play, and nothing more is coming.
  #nearDry (now: number): boolean {
    const dryIn = this.#playout.dryIn(now)
    if (dryIn > NEAR_DRY) return false
    return this.#playout.missing === 0 || now - this.#lastAudioAt >= (dryIn > 0 ? NEAR_DRY : SHORT_WAIT)
  }

  #placeMark (name: string, settle: (outcome: MarkOutcome) => void, now: number): boolean {
    const more = !this.#queue.empty
    const inBand = this.#options.rate === EXACT_RATE && now >= this.#taintedUntil
    // Where marks inside the audio can't be trusted, the clock tells; only one with nothing after it is sent.
    if (!this.#marksWork || (!inBand && more)) {
      this.#marks.place(name, false, this.#playout.sentMs, now, settle)
      return true
    }
    if (this.#marks.full) return false
    const tail = this.#playout.missing > 0
    if ((tail || !inBand) && !more && !this.#nearDry(now)) return false
    if (!inBand) this.#pad(now)
    // With nothing after it, a mark is only looked at when no stale one stands before it.
    if (!more && this.#marks.stale > 0) this.#silence(LOT_MS * this.#options.rate / 1000, now)
    const { wireName } = this.#marks.place(name, true, this.#playout.sentMs, now + this.#playout.aheadMs(now), settle)
    this.#options.send(writeCommand({ type: 'mark', data: { name: wireName } }))
    if (!inBand) this.#heldByMark = true
    else if (tail && !more) this.#pad(now)
    return true
  }

  #loseMarks (now: number): void {
    const lost = this.#marks.takeLost(now)
    if (lost === undefined) return
    this.#heldByMark = false
    if (this.#marksWork) this.#options.logger.warn(`jambonz did not report the mark "${lost.name}"; marks are told by the clock from now on`)
    this.#marksWork = false
  }
}
