import type { FastifyBaseLogger } from 'fastify'
import { SAMPLE_BYTES, silenceOf } from '../../pcm/samples.js'
import { writeCommand } from '../socket/messages.js'
import type { MarkEvent, MarkOutcome } from '../socket/types.js'
import type { HeardTrack } from './HeardTrack.js'
import { Clearing, Marks, MarkSamples } from './Marks.js'
import { PlaybackQueue, type Placement } from './PlaybackQueue.js'
import { EXACT_RATE, PlayoutModel, SHORT_WAIT, startTicking, stopTicking, LOT_MS } from './PlayoutModel.js'
import type { Utterance } from './Utterance.js'

/** ms of audio given to jambonz ahead of the caller's ear. More at once would stall its one thread for all calls. */
const MAX_AHEAD = 60_000
/** bytes of one message, so that a clear() is never stuck behind a long one */
const MAX_MESSAGE = 32_768
/** bytes that may wait in the process to be sent */
const MAX_UNSENT = 131_072
/** ms between two ticks: the process stood still, and what came meanwhile has not been read. */
const STOOD_STILL = 200
/** ms after the clock's end of an utterance that the track has to tell of it: it knows only what audio comes beside it. */
const TRACK_PATIENCE = 1_000

export interface StreamingPlaybackOptions {
  /** Hz of the audio sent to jambonz */
  rate: number
  send: (audio: Buffer, sent?: () => void) => void
  sendText: (text: string) => void
  /** bytes sent that are still in the process */
  unsent: () => number
  /** how fast the caller's audio comes: 1 is real time */
  speed: () => number
  /** bytes written by the application that have not been taken, the chunk in hand included */
  backlog: () => number
  onMark: (mark: MarkEvent) => void
  /** Returns what lists a run of audio that belongs to no utterance. */
  beginRun: () => Utterance
  /** is told all that is sent, as it is sent */
  track: HeardTrack
  logger: FastifyBaseLogger
}

/**
 * Audio on its way to the caller, in streaming mode: what the application writes, its marks and flushes go out in the
 * order they were asked for, counted, padded, and free of samples that jambonz would take for marks.
 */
export class StreamingPlayback {
  /** ms of audio ahead of the caller's ear; 0: as much as jambonz bears */
  aheadMs = 0
  readonly #options: StreamingPlaybackOptions
  readonly #perMs: number
  readonly #marks: Marks
  readonly #playout: PlayoutModel
  readonly #queue: PlaybackQueue
  readonly #clearing = new Clearing()
  // Begun and not over, oldest first.
  #utterances: Utterance[] = []
  // The utterance whose audio goes out now, and the run of audio outside of any.
  #speaking: Utterance | undefined
  #run: Utterance | undefined
  // The call is private now; what goes out was written while it was.
  #private = false
  #sendsPrivate = false
  // Since when the beginning of an utterance is held until there is enough of it.
  #heldSince: number | undefined
  // There is, and it goes out until jambonz plays.
  #begins = false
  #tickedAt = Infinity
  #endedAt: number | undefined
  #pumping = false
  // What was dropped is answered in the next turn of the event loop, and nothing goes out before.
  #dropping = false
  // The connection is slower than what is sent.
  #blocked = false
  // A mark at the end of what was sent holds back the rest.
  #heldByMark = false
  #marksWork = true
  readonly #markSamples = new MarkSamples()

  constructor(options: StreamingPlaybackOptions) {
    this.#options = options
    this.#perMs = (options.rate * SAMPLE_BYTES) / 1000
    this.#marks = new Marks(options.onMark)
    this.#playout = new PlayoutModel(options.rate)
    this.#queue = new PlaybackQueue(options.backlog)
  }

  get sentMs(): number {
    return this.#playout.sentMs
  }

  /** ms of all that was written and not cleared, on the scale of `playedMs` */
  get writtenMs(): number {
    return this.sentMs + this.#queue.waiting / this.#perMs
  }

  get playedMs(): number {
    return this.#playout.playedMs(this.#endedAt ?? performance.now(), this.#marks.limitMs)
  }

  /** Takes the next chunk; `done` asks for another. */
  write(chunk: Buffer, done: () => void): void {
    if (this.#endedAt !== undefined) return done()
    this.#queue.write(chunk, done)
    this.#pump()
  }

  /**
   * Sends a chunk at once, where it is audio that nothing stands before. Returns false where it has to wait, or to be cut:
   * it is to be written then. An agent speaks in pieces of 20 ms, and nearly all of them go this way.
   */
  sendNow(chunk: Buffer): boolean {
    const { length } = chunk
    const waits =
      this.#pumping || this.#dropping || this.#blocked || this.#heldByMark || this.#clearing.underWay
    if (waits || this.#endedAt !== undefined || !this.#queue.takesWhole(length)) return false
    const now = performance.now()
    if (length > Math.min(MAX_MESSAGE, this.#room(now)) || this.#options.unsent() >= MAX_UNSENT) return false
    if (this.#playout.toBegin(now) > 0) return false
    this.#queue.pass(length)
    this.#sendAudio(chunk, now)
    this.#updateTicking()
    return true
  }

  mark(name: string): Promise<MarkOutcome> {
    this.#markSamples.avoid()
    return new Promise((resolve) => {
      const drop = () => {
        resolve('cleared')
        this.#options.onMark({ name, event: 'cleared' })
      }
      this.#place({ isMark: true, place: (now) => this.#placeMark(name, resolve, now), drop })
    })
  }

  /** Settles all marks. jambonz is told nothing: its own clearMarks shifts all later marks (mod_audio_fork). */
  clearMarks(): void {
    this.#queue.dropMarks()
    this.#marks.forget()
    this.#pump()
  }

  /** Has the end of what was written played as well: jambonz hands audio over in lots. */
  flush(done: () => void): void {
    if (this.#endedAt !== undefined) return done()
    const place = (now: number) => {
      this.#pad(now)
      done()
      return true
    }
    this.#place({ isMark: false, place, drop: done })
  }

  /** Begins an utterance behind everything written so far. */
  begin(utterance: Utterance): void {
    const place = () => {
      this.#endRun()
      utterance.isPrivate ||= this.#private || this.#sendsPrivate
      this.#utterances.push(utterance)
      this.#speaking = utterance
      this.#options.track.labelNext((atMs) => utterance.heardFrom(atMs))
      utterance.begun(this.sentMs)
      return true
    }
    this.#place({ isMark: false, place, drop: () => utterance.over('cleared') })
  }

  /** Ends it: its last words are played, too. The track tells when they have been heard; where it does not, the clock. */
  finish(utterance: Utterance): void {
    const place = (now: number) => {
      if (this.#speaking === utterance) this.#speaking = undefined
      utterance.isPrivate ||= this.#sendsPrivate
      this.#finish(utterance, now)
      return true
    }
    this.#place({ isMark: false, place, drop: () => this.#over(utterance, 'cleared') })
  }

  /** The call is private from what is written next on, or no longer. */
  privacy(isPrivate: boolean): void {
    this.#private = isPrivate
    if (isPrivate) for (const utterance of this.#utterances) utterance.isPrivate = true
    const place = () => {
      this.#sendsPrivate = isPrivate
      return true
    }
    this.#place({ isMark: false, place, drop: () => {} })
  }

  /** Stops playback at once and throws away everything written so far. */
  clear(): void {
    const now = performance.now()
    this.#dropLater(this.#queue.drop())
    this.#speaking = undefined
    this.#sendsPrivate = this.#private
    this.#heldSince = undefined
    if (!this.#clearing.underWay) {
      // The module empties its playout buffer but not the prebuffer before it: what waits there moves on first.
      this.#pad(now)
      this.#command({ type: 'killAudio' })
      this.#playout.clear(now, this.#marks.limitMs)
      this.#options.track.clear(now)
      this.#marks.clearClocked()
      this.#heldByMark = false
      this.#clearing.begin(now, this.#marksWork)
    }
    this.#cutOff()
  }

  /** Takes a mark reported by jambonz. Returns false where it is none of ours. */
  reported(event: MarkEvent): boolean {
    if (this.#clearing.isFence(event.name)) return this.#cleared()
    const now = performance.now()
    const mark = this.#marks.find(event)
    if (mark === undefined) return this.#marks.isLate(event)
    if (event.event === 'playout' && this.#playout.isTooEarly(mark.positionMs, now, this.#options.speed())) {
      this.#distrustMarks(
        `jambonz reported the mark "${mark.name}" before it can have been heard: the call's rate is not ${this.#options.rate} Hz`
      )
      return true
    }
    this.#marks.report(mark, event.event)
    if (event.event === 'playout') this.#playout.reported(mark.positionMs, now)
    if (this.#marks.waiting === 0) this.#heldByMark = false
    // One that was played while the kill was under way proves nothing about it.
    if (this.#marks.waiting === 0 && event.event === 'cleared') return this.#cleared()
    this.#pump()
    return true
  }

  /** The socket is gone: what waits here was never heard. */
  end(): void {
    if (this.#endedAt !== undefined) return
    this.#endedAt = performance.now()
    stopTicking(this)
    this.#cutOff()
    this.#queue.close()
    this.#marks.clearAll()
  }

  tick(now: number): void {
    if (this.#clearing.isOverdue(now)) {
      this.#marks.clearAll()
      this.#cleared()
    }
    this.#marks.played(this.#playout.playedMs(now, this.#marks.limitMs))
    const stoodStill = now - this.#tickedAt > STOOD_STILL
    this.#tickedAt = now
    const lost = stoodStill ? undefined : this.#marks.takeLost(now)
    if (lost !== undefined) this.#distrustMarks(`jambonz did not report the mark "${lost.name}"`)
    if (this.#queue.empty && this.#playout.isNearDry(now)) this.#pad(now)
    // No more comes: it is short.
    if (this.#heldSince !== undefined && now - this.#heldSince >= SHORT_WAIT) this.flush(() => {})
    if (this.#queue.empty && this.#playout.isDry(now)) this.#endRun()
    this.#pump()
  }

  #finish(utterance: Utterance, now: number): void {
    this.#options.track.labelEnd(() => this.#over(utterance, 'playout'))
    this.#pad(now)
    this.#marks.place(undefined, false, this.sentMs, now, (outcome) => {
      if (outcome === 'cleared') this.#over(utterance, outcome)
      else setTimeout(() => this.#over(utterance, 'playout'), TRACK_PATIENCE).unref()
    })
  }

  #beginRun(): Utterance {
    const run = this.#options.beginRun()
    run.isPrivate = this.#private || this.#sendsPrivate
    this.#utterances.push(run)
    this.#options.track.labelNext((atMs) => run.heardFrom(atMs))
    run.begun(this.sentMs)
    return run
  }

  #endRun(): void {
    const run = this.#run
    this.#run = undefined
    if (run !== undefined) this.#finish(run, performance.now())
  }

  #over(utterance: Utterance, outcome: MarkOutcome): void {
    this.#utterances = this.#utterances.filter((other) => other !== utterance)
    utterance.over(outcome)
  }

  #cutOff(): void {
    const run = this.#run
    this.#run = undefined
    for (const utterance of [...this.#utterances]) {
      const isHeard = utterance === run && run.heardMs >= run.writtenMs
      this.#over(utterance, isHeard ? 'playout' : 'cleared')
    }
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

  #place(placement: Placement): void {
    this.#queue.add(placement)
    this.#pump()
  }

  #pump(): void {
    if (this.#pumping || this.#dropping || this.#endedAt !== undefined) return
    this.#pumping = true
    try {
      const now = performance.now()
      while (this.#step(now));
    } finally {
      this.#pumping = false
    }
    this.#updateTicking()
  }

  #updateTicking(): void {
    const idle =
      !this.#clearing.underWay &&
      this.#run === undefined &&
      this.#queue.empty &&
      this.#marks.size === 0 &&
      this.#playout.missing === 0
    if (idle) {
      stopTicking(this)
      this.#tickedAt = Infinity
    } else if (this.#endedAt === undefined) startTicking(this)
  }

  // Does the next thing there is to do. Returns false where there is none, or it has to wait.
  #step(now: number): boolean {
    if (this.#endedAt !== undefined) return false
    if (this.#queue.skip()) return true
    if (this.#clearing.underWay) return this.#raiseFence()
    if (this.#blocked) return false
    if (this.#queue.untilPlacement <= 0) return this.#queue.place(now)
    return !this.#heldByMark && this.#speak(now)
  }

  // Something is to follow a clear, and no mark tells of that.
  #raiseFence(): boolean {
    const needed = !this.#queue.empty
    if (!needed || !this.#marksWork || this.#marks.waiting > 0 || this.#marks.stale > 0) return false
    const name = this.#clearing.raiseFence()
    if (name !== undefined) this.#command({ type: 'mark', data: { name } })
    return false
  }

  #cleared(): true {
    this.#clearing.end()
    this.#pump()
    return true
  }

  // Returns false while the beginning of what is said waits for more: how much jambonz begins with depends on a rate
  // that is not known here.
  #mayBegin(now: number): boolean {
    const enough = this.#playout.toBegin(now) * SAMPLE_BYTES
    if (enough === 0 || this.#queue.waiting >= enough || this.#queue.untilPlacement < Infinity) {
      this.#begins = enough > 0
    }
    if (enough === 0 || this.#begins) this.#heldSince = undefined
    else this.#heldSince ??= now
    return this.#heldSince === undefined
  }

  #speak(now: number): boolean {
    if (this.#queue.silent || !this.#mayBegin(now)) return false
    const most = Math.min(this.#queue.untilPlacement, MAX_MESSAGE, this.#room(now))
    const audio = this.#queue.take(most)
    if (audio === undefined) return false
    // Asking for the next chunk runs the application's code, which may have cleared this one.
    if (audio.length > 0 && !this.#clearing.underWay) this.#sendAudio(audio, now)
    return true
  }

  /** Returns the bytes of audio that may go out now. */
  #room(now: number): number {
    const aheadMs = this.aheadMs === 0 ? MAX_AHEAD : this.aheadMs
    return Math.floor(aheadMs - this.#playout.aheadMs(now)) * this.#perMs
  }

  #sendAudio(audio: Buffer, now: number): void {
    if (this.#speaking === undefined) {
      this.#run ??= this.#beginRun()
      this.#run.wrote(audio.length)
    }
    this.#transmit(this.#markSamples.without(audio))
    const released = this.#playout.audio(audio.length / SAMPLE_BYTES, now)
    this.#options.track.audio(audio, released, now, this.#sendsPrivate)
    this.#markSamples.sent(audio, now + this.#playout.aheadMs(now))
  }

  #placeMark(name: string, settle: (outcome: MarkOutcome) => void, now: number): boolean {
    const more = !this.#queue.silent
    // Samples may be playing that jambonz would take for marks.
    const inBand = this.#options.rate === EXACT_RATE && !this.#markSamples.mayPlay(now)
    // Where marks inside the audio can't be trusted, the clock tells; only one with nothing after it is sent.
    if (!this.#marksWork || (!inBand && more)) {
      this.#marks.place(name, false, this.sentMs, now, settle)
      return true
    }
    if (this.#marks.full) return false
    const tail = this.#playout.missing > 0
    if ((tail || !inBand) && !more && !this.#playout.isNearDry(now)) return false
    if (!inBand) this.#pad(now)
    // With nothing after it, a mark is only looked at when no stale one stands before it.
    if (!more && this.#marks.stale > 0) this.#silence((LOT_MS * this.#options.rate) / 1000, now)
    const expectedAt = now + this.#playout.aheadMs(now)
    const { wireName } = this.#marks.place(name, true, this.sentMs, expectedAt, settle)
    this.#command({ type: 'mark', data: { name: wireName } })
    if (!inBand) this.#heldByMark = true
    else if (tail && !more) this.#pad(now)
    return true
  }

  #distrustMarks(why: string): void {
    this.#heldByMark = false
    this.#marksWork = false
    this.#marks.distrust()
    this.#options.logger.warn(`${why}; marks are told by the clock from now on`)
    this.#pump()
  }

  // Silence that has the rest of what was sent played.
  #pad(now: number): void {
    if (this.#playout.missing > 0) this.#silence(this.#playout.missing, now)
  }

  #silence(samples: number, now: number): void {
    this.#transmit(silenceOf(samples))
    this.#options.track.silence(samples, this.#playout.silence(samples, now), now)
  }

  #transmit(audio: Buffer): void {
    const { stale } = this.#marks
    // Each of these samples makes the module forget one mark (mod_audio_fork, dub_speech_frame).
    const data = stale > 0 ? Buffer.concat([Buffer.alloc(stale * SAMPLE_BYTES, 0xff), audio]) : audio
    if (stale > 0) {
      this.#playout.silence(stale, performance.now())
      this.#marks.cured()
    }
    this.#marks.enterAudio()
    if (this.#options.unsent() < MAX_UNSENT) return this.#options.send(data)
    this.#blocked = true
    this.#options.send(data, () => {
      this.#blocked = false
      this.#pump()
    })
  }

  #command(command: Parameters<typeof writeCommand>[0]): void {
    this.#options.sendText(writeCommand(command))
  }
}
