import type { FastifyBaseLogger } from 'fastify'
import { SAMPLE_BYTES } from '../../pcm/samples.js'
import type { MarkEvent, MarkOutcome } from '../socket/types.js'
import { Clearing, Marks, MarkSamples } from './Marks.js'
import { Beginning, PlaybackQueue, type Placement } from './PlaybackQueue.js'
import { PlaybackSender, type PlaybackSenderOptions } from './PlaybackSender.js'
import { EXACT_RATE, LOT_MS, PlayoutModel, startTicking, stopTicking } from './PlayoutModel.js'
import { Speech, type SpeechDeps, type Utterance } from './Utterance.js'

/** ms that the track has to report the end of an utterance, after its end by the clock. Then the clock decides. */
const TRACK_PATIENCE = 1_000

export interface StreamingPlaybackOptions
  extends PlaybackSenderOptions, Pick<SpeechDeps, 'beginRun' | 'isPrivate'> {
  /** Returns the bytes that were written and not taken, the current chunk included. */
  backlog: () => number
  onMark: (mark: MarkEvent) => void
  logger: FastifyBaseLogger
}

/**
 * The playback to the caller, in streaming mode. Sends the audio, marks and flushes of the application in order. Pads
 * the audio, and replaces samples that jambonz would take for marks. Audio takes one of two ways:
 * - `sendNow()`, if nothing waits and the chunk may go out whole: the chunk is sent at once;
 * - `write()` in all other cases: the chunk goes into the PlaybackQueue, and `#pump()` takes one step after the other
 *   until a step has to wait. The pump runs after each write, action and report of jambonz, and at each tick.
 */
export class StreamingPlayback {
  readonly sender: PlaybackSender
  readonly #options: StreamingPlaybackOptions
  readonly #marks: Marks
  readonly #playout: PlayoutModel
  readonly #queue: PlaybackQueue
  readonly #clearing = new Clearing()
  readonly #speech: Speech
  readonly #beginning = new Beginning()
  #endedAt: number | undefined
  #pumping = false
  // true after a clear until the next turn of the event loop, in which the dropped actions are answered.
  #dropping = false
  // true if no audio may be sent until jambonz has reported the mark at the end of the sent audio.
  #heldByMark = false
  // false once jambonz has reported a mark wrongly or not at all: marks are then settled at their computed times.
  #marksWork = true
  readonly #markSamples = new MarkSamples()

  constructor(options: StreamingPlaybackOptions) {
    this.#options = options
    this.#marks = new Marks(options.onMark)
    this.#playout = new PlayoutModel(options.rate)
    this.#queue = new PlaybackQueue(options.backlog)
    this.sender = new PlaybackSender(options, this.#marks, this.#playout, () => this.#pump())
    this.#speech = new Speech({
      beginRun: options.beginRun,
      isPrivate: options.isPrivate,
      sentMs: () => this.sentMs,
      onHeard: (heard) => options.track.labelNext(heard),
      onEnd: (end) => this.#awaitEnd(end)
    })
  }

  get sentMs(): number {
    return this.#playout.sentMs
  }

  /** ms of audio that was written and not cleared, on the scale of `playedMs` */
  get writtenMs(): number {
    return this.sentMs + (this.#queue.waiting * 1000) / (this.#options.rate * SAMPLE_BYTES)
  }

  get playedMs(): number {
    return this.#playout.playedMs(this.#endedAt ?? performance.now(), this.#marks.limitMs)
  }

  /** Takes the next chunk. `done` is called when another chunk is needed. */
  write(chunk: Buffer, done: () => void): void {
    if (this.#endedAt !== undefined) return done()
    this.#queue.write(chunk, done)
    this.#pump()
  }

  /**
   * Sends a chunk at once, if nothing waits before it. Nearly all chunks of 20 ms are sent by this method. Returns
   * false if the chunk has to go through `write()`.
   */
  sendNow(chunk: Buffer): boolean {
    const { length } = chunk
    const waits =
      this.#pumping || this.#dropping || this.sender.blocked || this.#heldByMark || this.#clearing.underWay
    if (waits || this.#endedAt !== undefined || !this.#queue.takesWhole(length)) return false
    const now = performance.now()
    if (length > this.sender.room(now) || this.sender.isFull || this.#playout.toBegin(now) > 0) return false
    this.#queue.pass(length)
    this.#sendAudio(chunk, now)
    this.#updateTicking(false)
    return true
  }

  mark(name: string): Promise<MarkOutcome> {
    const now = performance.now()
    this.#markSamples.avoid((value) => this.#options.track.mayHave(value), now + this.#playout.aheadMs(now))
    return new Promise((resolve) => {
      const drop = () => {
        resolve('cleared')
        this.#options.onMark({ name, event: 'cleared' })
      }
      this.#queue.add({ isMark: true, place: (now) => this.#placeMark(name, resolve, now), drop })
      this.#pump()
    })
  }

  /**
   * Settles all marks as cleared. Sends no `clearMarks` command, since jambonz reports all later marks at wrong times
   * after such a command (mod_audio_fork).
   */
  clearMarks(): void {
    this.#queue.dropMarks()
    this.#marks.forget()
    this.#pump()
  }

  /** Pads the audio written so far with silence, since jambonz plays audio only in lots of 80 ms. */
  flush(done: () => void): void {
    if (this.#endedAt !== undefined) return done()
    this.#do((now) => {
      this.sender.pad(now)
      done()
    }, done)
  }

  /** Begins an utterance behind everything written so far. */
  begin(utterance: Utterance): void {
    this.#do(
      () => this.#speech.begin(utterance),
      () => utterance.over('cleared')
    )
  }

  /** Ends an utterance behind everything written so far, and pads it so that jambonz plays it to its end. */
  finish(utterance: Utterance): void {
    this.#do(
      () => this.#speech.finish(utterance),
      () => this.#speech.over(utterance, 'cleared')
    )
  }

  /** Begins or ends privacy for the audio that is written from now on. */
  privacy(isPrivate: boolean): void {
    this.#speech.privacy(isPrivate)
    this.#do(() => this.#speech.sendsPrivate(isPrivate))
  }

  /** Stops the playback at once, and drops everything written so far. */
  clear(): void {
    const now = performance.now()
    this.#dropLater(this.#queue.drop())
    this.#speech.dropped()
    this.#beginning.dropped()
    if (!this.#clearing.underWay) {
      // `killAudio` empties only the playout buffer of mod_audio_fork. Padding moves audio there from the prebuffer.
      this.sender.pad(now)
      this.sender.command({ type: 'killAudio' })
      this.#playout.clear(now, this.#marks.limitMs)
      this.#options.track.clear(now)
      this.#marks.clearClocked()
      this.#heldByMark = false
      this.#clearing.begin(now, this.#marksWork)
    }
    this.#speech.cutOff()
  }

  /** Takes jambonz' report of a mark. Returns false for a mark that this playback did not send. */
  reported(event: MarkEvent): boolean {
    if (this.#clearing.isFence(event.name)) return this.#cleared()
    const now = performance.now()
    const mark = this.#marks.find(event)
    if (mark === undefined) return this.#marks.isLate(event)
    const { speed } = this.#options.socket
    if (event.event === 'playout' && this.#playout.isTooEarly(mark.positionMs, now, speed)) {
      this.#distrustMarks(
        `jambonz reported the mark "${mark.name}" too early: the call's rate is not ${this.#options.rate} Hz`
      )
      return true
    }
    this.#marks.report(mark, event.event)
    if (event.event === 'playout') this.#playout.reported(mark.positionMs, now)
    if (this.#marks.waiting === 0) this.#heldByMark = false
    // Only a cleared mark proves that jambonz has carried out the `killAudio`.
    if (this.#marks.waiting === 0 && event.event === 'cleared') return this.#cleared()
    this.#pump()
    return true
  }

  /** Drops everything that waits, since the socket has closed. */
  end(): void {
    if (this.#endedAt !== undefined) return
    this.#endedAt = performance.now()
    stopTicking(this)
    this.#speech.cutOff()
    this.#queue.close()
    this.#marks.clearAll()
  }

  /** Does what is due: ends an overdue clear, settles marks by the clock, pads audio, and sends what may be sent. */
  tick(now: number, stalled: boolean): number {
    if (this.#clearing.isOverdue(now)) {
      this.#marks.clearAll()
      this.#cleared()
    }
    if (this.#marks.size > 0) this.#marks.played(this.#playout.playedMs(now, this.#marks.limitMs))
    const lost = stalled ? undefined : this.#marks.takeLost(now)
    if (lost !== undefined) this.#distrustMarks(`jambonz did not report the mark "${lost.name}"`)
    if (this.#queue.empty && this.#playout.isNearDry(now)) this.sender.pad(now)
    if (this.#beginning.isOverdue(now)) this.flush(() => {})
    if (this.#queue.empty && this.#playout.isDry(now)) this.#speech.endRun()
    if (this.#queue.empty) this.#updateTicking()
    else this.#pump()
    const waits = this.#clearing.underWay || this.#marks.size > 0 || !this.#queue.empty
    return waits ? now : this.#playout.nearDryAt
  }

  // Calls `end` when the caller has heard all audio sent so far: when the track says so, or TRACK_PATIENCE
  // after the clock says so. May call `end` twice.
  #awaitEnd(end: (outcome: MarkOutcome) => void): void {
    const now = performance.now()
    this.#options.track.labelEnd(() => end('playout'))
    this.sender.pad(now)
    this.#marks.place(undefined, false, this.sentMs, now, (outcome) => {
      if (outcome === 'cleared') end(outcome)
      else setTimeout(() => end('playout'), TRACK_PATIENCE).unref()
    })
  }

  // Drops actions in the next turn. So an application that clears in each callback does not block the calls.
  #dropLater(dropped: Placement[]): void {
    this.#dropping = true
    setImmediate(() => {
      this.#dropping = false
      this.#pump()
      for (const { drop } of dropped) drop()
    })
  }

  // Does `action` after everything written so far was sent. Calls `drop` instead if a clear comes first.
  #do(action: (now: number) => void, drop: () => void = () => {}): void {
    const place = (now: number) => {
      action(now)
      return true
    }
    this.#queue.add({ isMark: false, place, drop })
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

  // `soon`: false if only audio was sent, which makes nothing due earlier.
  #updateTicking(soon = true): void {
    const waits = this.#clearing.underWay || this.#speech.isRun || !this.#queue.empty
    if (!waits && this.#marks.size + this.#playout.missing === 0) stopTicking(this)
    else if (this.#endedAt === undefined) startTicking(this, soon)
  }

  // Does the next step: an action, or sending audio. Returns false if no step is left, or if it must wait.
  #step(now: number): boolean {
    if (this.#endedAt !== undefined) return false
    if (this.#queue.skip()) return true
    if (this.#clearing.underWay) return this.#raiseFence()
    if (this.sender.blocked) return false
    if (this.#queue.untilPlacement <= 0) return this.#queue.place(now)
    return !this.#heldByMark && this.#speak(now)
  }

  // Sends a fence if audio waits for the end of a clear, and no waiting mark will report that end. Returns false.
  #raiseFence(): boolean {
    if (this.#queue.empty || !this.#marksWork || this.#marks.waiting + this.#marks.stale > 0) return false
    const name = this.#clearing.raiseFence()
    if (name !== undefined) this.sender.command({ type: 'mark', data: { name } })
    return false
  }

  // Ends the clear, so that audio may be sent again.
  #cleared(): true {
    this.#clearing.end()
    this.#pump()
    return true
  }

  // Sends the next audio of the queue. Returns false if no audio is in the queue, or if it must wait.
  #speak(now: number): boolean {
    if (this.#queue.silent) return false
    const enough = this.#playout.toBegin(now) * SAMPLE_BYTES
    if (this.#beginning.isHeld(enough, this.#queue, now)) return false
    const audio = this.#queue.take(Math.min(this.#queue.untilPlacement, this.sender.room(now)))
    if (audio === undefined) return false
    // take() may call the application, which may call clear().
    if (audio.length > 0 && !this.#clearing.underWay) this.#sendAudio(audio, now)
    return true
  }

  #sendAudio(audio: Buffer, now: number): void {
    this.#speech.sent(audio.length)
    if (this.#playout.isPadded) this.#playout.playedMs(now, this.#marks.limitMs)
    this.sender.send(this.#markSamples.without(audio))
    const released = this.#playout.audio(audio.length / SAMPLE_BYTES, now)
    this.#options.track.audio(audio, released, now, this.#speech.isPrivate)
  }

  // Sends a mark to jambonz, or settles it at the computed time of its playout. Returns false if the mark must wait.
  #placeMark(name: string, settle: (outcome: MarkOutcome) => void, now: number): boolean {
    const more = !this.#queue.silent
    const inBand = this.#options.rate === EXACT_RATE && !this.#markSamples.mayPlay(now)
    // A mark inside the audio is exact only if it is `inBand`. If it is not, and audio follows, the clock settles it.
    if (!this.#marksWork || (!inBand && more)) {
      this.#marks.place(name, false, this.sentMs, now, settle)
      return true
    }
    if (this.#marks.full) return false
    const tail = this.#playout.missing > 0
    if ((tail || !inBand) && !more && !this.#playout.isNearDry(now)) return false
    if (!inBand) this.sender.pad(now)
    // If no audio follows a mark, jambonz reports it only if there are no stale marks. Sending silence removes these.
    if (!more && this.#marks.stale > 0) this.sender.silence((LOT_MS * this.#options.rate) / 1000, now)
    const expectedAt = now + this.#playout.aheadMs(now)
    const { wireName } = this.#marks.place(name, true, this.sentMs, expectedAt, settle)
    this.sender.command({ type: 'mark', data: { name: wireName } })
    if (!inBand) this.#heldByMark = true
    else if (tail && !more) this.sender.pad(now)
    return true
  }

  // Lets the clock settle all marks from now on.
  #distrustMarks(why: string): void {
    this.#heldByMark = false
    this.#marksWork = false
    this.#marks.distrust()
    this.#options.logger.warn(`${why}; from now on the clock decides when marks are reached`)
    this.#pump()
  }
}
