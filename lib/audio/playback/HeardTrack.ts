import type { FastifyBaseLogger } from 'fastify'
import type { MixType } from '../../model/schema.js'
import { Resampler } from '../../pcm/Resampler.js'
import { FRAME_MS, SAMPLE_BYTES } from '../../pcm/samples.js'
import type { AudioSink } from '../socket/types.js'
import { InclusionCheck } from './InclusionCheck.js'
import type { Release } from './PlayoutModel.js'
import { SentAudio, type Label, type Sync } from './SentAudio.js'

/** ms by which jambonz sends audio of both parties later than audio of the caller alone (mod_audio_fork) */
const PAIR_DELAY = 20
/** ms of the window in which the least delay of the caller's audio is measured. The window has two halves. */
const CLOCK_WINDOW = 5_000
/** ms by which two times may differ and still count as the same */
const EPSILON = 0.5
/**
 * ms of frames that wait to be played while nobody asks for the audio heard in them. Several frames at once cost little
 * more than one: to play each one alone was a fifth of the cost of an echo.
 */
const MAX_UNPLAYED = 100

export interface HeardTrackOptions {
  /** Hz of the audio that the application writes */
  rate: number
  /** Hz of the audio that jambonz sends, and of the audio that was heard */
  sampleRate: number
  channels: number
  mixType: MixType
  /** ms of audio that arrived before the track began */
  startMs: number
  /** earliest time, ms on the clock, at which the audio before the track could have arrived */
  earliest: number
  /** Returns the ms of audio that has arrived, gaps included. */
  receivedMs: () => number
  /** Sends a ping. Its pong comes back in order with the audio. */
  ping: (onPong: () => void) => void
  /** Returns the ms of a round trip to jambonz. */
  roundTrip: () => number
  logger: FastifyBaseLogger
}

/**
 * The application's audio that the caller heard, aligned with the frames of the caller's audio. jambonz never includes
 * audio streamed to a listen in the audio of that listen (mod_audio_fork, measured), so the track computes it:
 * - In each tick, jambonz sends one frame of the caller's audio and plays one frame of the application's audio. Each
 *   frame that arrives therefore means that jambonz has played one frame.
 * - The track sends a ping behind audio that jambonz begins to play. Pongs arrive in order with frames, so the pong
 *   tells with which frame the playback began. For audio that follows other audio, the clock is exact enough.
 *
 * The track is an AudioSink. The sinks after it get the audio heard during their frame from `heardIn()`.
 *
 * It has three scales of time, all in ms. The least delay measured converts between the first two.
 *
 *     clock      --S------P------------F------------F---->   performance.now(): S audio sent, P pong, F frame
 *     #clockMs   |0    frame   |20   frame   |40  gap  |...  time of the call since the track began, gaps included
 *     #audioMs   |startMs      |+20          |+40      |+40  caller's audio that has arrived; labels get this time
 */
export class HeardTrack implements AudioSink {
  readonly #options: HeardTrackOptions
  readonly #tick: number
  readonly #resampler: Resampler | undefined
  readonly #check: InclusionCheck | undefined
  readonly #input: Int16Array
  // The audio heard during the last frame that was played, its length in samples of one channel.
  #output: Int16Array
  #isHeard = false
  // true once `#check` has seen that frame.
  #isChecked = false
  // Number of samples, of one channel, of the frames that were written and not played, and of the last frame.
  #unplayed = 0
  #lastLength = 0
  readonly #sent: SentAudio
  // true while the resampler holds the end of the audio that was played.
  #tail = false
  readonly #startMs: number
  #clockMs = 0
  #audioMs: number
  // ms, the least difference between performance.now() and #clockMs at a frame, in this half of the CLOCK_WINDOW.
  #delay = Infinity
  // ms, the same in the previous half of the CLOCK_WINDOW.
  #delayBefore: number
  #halfEndsAt = performance.now() + CLOCK_WINDOW / 2

  constructor(options: HeardTrackOptions) {
    const { rate, sampleRate, mixType, channels, startMs, earliest, logger } = options
    this.#options = options
    this.#tick = (sampleRate * FRAME_MS) / 1000
    this.#resampler = rate === sampleRate ? undefined : new Resampler(rate, sampleRate)
    this.#check = mixType === 'mono' ? undefined : new InclusionCheck(sampleRate, channels, logger)
    this.#sent = new SentAudio(rate)
    this.#input = new Int16Array((rate * FRAME_MS) / 1000)
    this.#output = new Int16Array(this.#tick)
    this.#audioMs = startMs
    this.#delayBefore = earliest
    this.#startMs = options.receivedMs()
  }

  /**
   * Takes L16 audio that was sent. `released`: how jambonz begins to play this audio and the audio that it held back
   * before. `isPrivate`: true if the audio was written in private, so that the track has silence in its place.
   */
  audio(pcm: Buffer, released: Release, now: number, isPrivate: boolean): void {
    if (isPrivate) this.#sent.addSilence('private', pcm.length / SAMPLE_BYTES)
    else this.#sent.addAudio(pcm)
    if (released) this.#release(released, now)
  }

  /** Returns true if audio that was sent, and was not heard yet, may have a sample of this value. */
  mayHave(value: number): boolean {
    this.#playFrames()
    return this.#sent.mayHave(value)
  }

  /** Takes silence that was sent. */
  silence(length: number, released: Release, now: number): void {
    this.#sent.addSilence('silence', length)
    if (released) this.#release(released, now)
  }

  /** Calls `label` when the caller begins to hear the audio that is sent next. */
  labelNext(label: Label): void {
    this.#sent.addLabel(label)
  }

  /** Calls `label` when the caller has heard all audio that was sent. */
  labelEnd(label: Label): void {
    this.#sent.addEndLabel(label)
  }

  /** Notes that jambonz was asked to throw away the audio that it has. */
  clear(now: number): void {
    this.#sent.addClear(now, this.#ask())
  }

  /** Takes a frame of jambonz. It is played when `heardIn()` asks for it, when a label waits, or after MAX_UNPLAYED. */
  write(frame: Buffer, gapMs: number): void {
    if (gapMs > 0) this.#skip(gapMs)
    if (this.#audioMs === 0 && this.#unplayed === 0) this.#firstFrame(performance.now())
    const { sampleRate, channels } = this.#options
    this.#lastLength = frame.length / SAMPLE_BYTES / channels
    this.#unplayed += this.#lastLength
    const ms = (this.#unplayed / sampleRate) * 1000
    this.#watchClock(ms)
    if (this.#sent.hasLabels || ms >= MAX_UNPLAYED) this.#playFrames()
  }

  /**
   * Returns the audio that was heard during `frame`, the last one that was written, at the listen's rate. Returns
   * undefined if none was heard, or if the frame has it already.
   */
  heardIn(frame: Buffer): Int16Array | undefined {
    this.#playFrames()
    if (this.#isHeard && !this.#isChecked) {
      this.#isHeard = this.#check?.isIncluded(frame, this.#output) !== true
    }
    this.#isChecked = true
    return this.#isHeard ? this.#output : undefined
  }

  #release(released: Release, now: number): void {
    // Audio behind other audio needs no ping, since it is played right after that audio, whenever jambonz reads it.
    const isFirst = released === 'dry' || this.#sent.isSilent
    this.#sent.release(now, isFirst ? this.#ask() : undefined)
  }

  // Sends a ping. The returned Sync is filled in when the pong arrives.
  #ask(): Sync {
    const sync = { fromMs: Infinity, at: Infinity }
    const { ping, receivedMs } = this.#options
    ping(() => {
      sync.fromMs = receivedMs() - this.#startMs
      sync.at = performance.now()
    })
    return sync
  }

  // Corrects pongs that came before the first frame. jambonz sends the first frame of both parties one tick after the
  // audio that it plays.
  #firstFrame(now: number): void {
    if (this.#options.mixType !== 'mono') this.#sent.correctEarlyPongs(now, PAIR_DELAY)
  }

  // Measures the delay of the last of the frames that are not played yet, which have `ms`.
  #watchClock(ms: number): void {
    const now = performance.now()
    if (now > this.#halfEndsAt) {
      this.#delayBefore = this.#delay
      this.#delay = Infinity
      this.#halfEndsAt = now + CLOCK_WINDOW / 2
    }
    this.#delay = Math.min(this.#delay, now - this.#clockMs - ms)
  }

  // Plays the frames that were not played yet, and leaves the audio heard during the last one in #output.
  #playFrames(): void {
    const unplayed = this.#unplayed
    if (unplayed === 0) return
    this.#unplayed = 0
    this.#isHeard = this.#isChecked = false
    if (this.#sent.isEmpty && !this.#tail) {
      const ms = (unplayed / this.#options.sampleRate) * 1000
      this.#clockMs += ms
      this.#audioMs += ms
      return
    }
    const room = this.#roomOfTick()
    const last = this.#lastLength
    const before = unplayed - last
    for (let at = 0; at < before; at += this.#tick) this.#play(room, 0, Math.min(this.#tick, before - at))
    if (this.#output.length !== last) this.#output = new Int16Array(last)
    for (let at = 0; at < last; at += this.#tick) {
      this.#isHeard = this.#play(this.#output, at, Math.min(this.#tick, last - at)) || this.#isHeard
    }
  }

  // Returns room for the audio of a tick that nobody needs.
  #roomOfTick(): Int16Array {
    return this.#output.length < this.#tick ? new Int16Array(this.#tick) : this.#output
  }

  // Fills `size` samples of `output` with the audio of one tick. Returns true if the caller heard audio.
  #play(output: Int16Array, at: number, size: number): boolean {
    const ms = (size / this.#options.sampleRate) * 1000
    this.#clockMs += ms
    const isCleared = this.#receive()
    const heard =
      this.#resampler === undefined
        ? this.#fill(output, at, size, isCleared) > 0
        : this.#playResampled(this.#resampler, output, at, size, isCleared)
    this.#audioMs += ms
    return heard
  }

  #playResampled(
    resampler: Resampler,
    output: Int16Array,
    at: number,
    size: number,
    isCleared: boolean
  ): boolean {
    const input = this.#input
    const ms = (size / this.#options.sampleRate) * 1000
    const wanted = Math.min(Math.round((ms * this.#options.rate) / 1000), input.length)
    const count = this.#fill(input, 0, wanted, isCleared)
    if (count === 0 && !this.#tail) {
      output.fill(0, at, at + size)
      return false
    }
    const resampled = resampler.process(input.subarray(0, wanted))
    const length = Math.min(size, resampled.length)
    output.set(resampled.subarray(0, length), at)
    output.fill(0, at + length, at + size)
    this.#tail = count > 0
    return true
  }

  // Notes what jambonz had read by this tick. Returns true if it had read a clear.
  #receive(): boolean {
    const { mixType, roundTrip } = this.#options
    const hold = mixType === 'mono' ? 0 : PAIR_DELAY
    const horizon = this.#clockMs + Math.min(this.#delay, this.#delayBefore) - roundTrip() - hold
    return this.#sent.receive(this.#clockMs - FRAME_MS - hold + EPSILON, horizon)
  }

  // Fills `wanted` samples of `into` with audio that is played, the rest with silence. Returns the length of the audio.
  #fill(into: Int16Array, at: number, wanted: number, isCleared: boolean): number {
    const count = isCleared ? 0 : this.#sent.take(into, at, wanted, this.#audioMs)
    if (count < wanted) into.fill(0, at + count, at + wanted)
    return count
  }

  // Drops the application's audio that the caller heard during a gap, for which there is no frame.
  #skip(gapMs: number): void {
    this.#playFrames()
    const end = this.#clockMs + gapMs
    const audioMs = this.#audioMs
    const room = this.#roomOfTick()
    while (this.#clockMs < end && !this.#sent.isEmpty) this.#play(room, 0, this.#tick)
    this.#clockMs = end
    this.#audioMs = audioMs
  }
}
