import type { FastifyBaseLogger } from 'fastify'
import type { MixType } from '../../model/schema.js'
import { Resampler } from '../../pcm/Resampler.js'
import { FRAME_MS, SampleRing, SAMPLE_BYTES } from '../../pcm/samples.js'
import type { AudioSink } from '../socket/types.js'
import { InclusionCheck } from './InclusionCheck.js'
import type { Release } from './PlayoutModel.js'

/** ms by which jambonz sends audio of both parties later than audio of the caller alone (mod_audio_fork) */
const PAIR_DELAY = 20
/** ms of the window in which the least delay of the caller's audio is measured. The window has two halves. */
const CLOCK_WINDOW = 5_000
/** ms beyond the usual round trip that the track waits for a pong */
const PONG_PATIENCE = 500
/** ms by which two times may differ and still count as the same */
const EPSILON = 0.5
/** ms of audio that the track holds while no audio arrives from jambonz; it drops older audio */
const MAX_WAITING = 90_000
/** ms of audio for which there is room at first: as much as jambonz holds if the application sends in real time */
const FIRST_ROOM = 240

export interface HeardTrackOptions {
  /** Hz of the audio that the application writes */
  rate: number
  /** Hz of the audio that jambonz sends, and of `current` */
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
 * An item that was sent to jambonz:
 * - `audio`: its samples are in the ring
 * - `silence`: padding
 * - `private`: audio that was written in private, for which the track has silence
 * - `clear`: the command to throw away the audio that jambonz has
 * - `label`: a place between two items, such as the beginning or end of an utterance
 */
type Sent = SentItem & ({ kind: 'audio' | 'silence' | 'private' | 'clear' } | { kind: 'label'; label: Label })
/** Called when the caller hears the audio at the label. `atMs`: ms into the caller's audio. */
type Label = (atMs: number) => void

interface SentItem {
  /** ms on the clock at which jambonz could begin to play the item; Infinity while its prebuffer holds it back */
  at: number
  /** number of samples; 0 for a clear or a label */
  length: number
  /** the ping that was sent behind the item, and its pong */
  sync: Sync | undefined
}

/** A ping and its pong. jambonz sends pongs in order with frames, so a pong tells when jambonz has read our audio. */
interface Sync {
  /** `#clockMs` of the frames that jambonz had sent before it read the ping; Infinity before the pong */
  fromMs: number
  /** ms on the clock at which the pong arrived; Infinity before that */
  at: number
}

/**
 * The application's audio that the caller heard, aligned with the frames of the caller's audio. jambonz never includes
 * audio streamed to a listen in the audio of that listen (mod_audio_fork, measured), so the track computes it:
 * - In each tick, jambonz sends one frame of the caller's audio and plays one frame of the application's audio. Each
 *   frame that arrives therefore means that jambonz has played one frame.
 * - The track sends a ping behind audio that jambonz begins to play. Pongs arrive in order with frames, so the pong
 *   tells with which frame the playback began. For audio that follows other audio, the clock is exact enough.
 *
 * The track is an AudioSink. The sinks after it read the audio heard during their frame from `current`.
 *
 * It has three scales of time, all in ms. The least delay measured converts between the first two.
 *
 *     clock      --S------P------------F------------F---->   performance.now(): S audio sent, P pong, F frame
 *     #clockMs   |0    frame   |20   frame   |40  gap  |...  time of the call since the track began, gaps included
 *     #audioMs   |startMs      |+20          |+40      |+40  caller's audio that has arrived; labels get this time
 */
export class HeardTrack implements AudioSink {
  /** The audio heard in this frame, at the listen's rate; undefined if none was heard, or the frame has it already. */
  current: Int16Array | undefined
  readonly #options: HeardTrackOptions
  readonly #tick: number
  readonly #resampler: Resampler | undefined
  readonly #check: InclusionCheck | undefined
  readonly #input: Int16Array
  #output: Int16Array
  #sent: Sent[] = []
  // The audio of #playing and #sent, in this order. One ring is much cheaper than a buffer for each chunk.
  readonly #ring: SampleRing
  // Number of samples in #playing and #sent, silence included.
  #waiting = 0
  // Items that jambonz has begun to play or will play next.
  #playing: Sent[] = []
  // Number of samples of the first item of #playing that were played.
  #head = 0
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
    this.#ring = new SampleRing((rate * FIRST_ROOM) / 1000)
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
    if (!isPrivate) this.#ring.push(pcm)
    this.#add(isPrivate ? 'private' : 'audio', pcm.length / SAMPLE_BYTES, released, now)
  }

  /** Returns true if audio that was sent, and was not heard yet, may have a sample of this value. */
  mayHave(value: number): boolean {
    const items = [...this.#playing, ...this.#sent]
    return this.#ring.includes(value) || items.some(({ kind }) => kind === 'private')
  }

  /** Takes silence that was sent. */
  silence(length: number, released: Release, now: number): void {
    this.#add('silence', length, released, now)
  }

  /** Calls `label` when the caller begins to hear the audio that is sent next. */
  labelNext(label: (atMs: number) => void): void {
    this.#sent.push({ kind: 'label', at: Infinity, length: 0, sync: undefined, label })
  }

  /** Calls `label` when the caller has heard all audio that was sent. */
  labelEnd(label: (atMs: number) => void): void {
    // If the prebuffer of jambonz holds back the audio before the label, the label waits as long as that audio.
    const at = this.#sent.at(-1)?.at === Infinity ? Infinity : -Infinity
    this.#sent.push({ kind: 'label', at, length: 0, sync: undefined, label })
  }

  /** Notes that jambonz was asked to throw away the audio that it has. */
  clear(now: number): void {
    this.#sent.push({ kind: 'clear', at: now, length: 0, sync: this.#ask() })
  }

  /** Takes a frame of jambonz, and puts the application's audio that was heard during it into `current`. */
  write(frame: Buffer, gapMs: number): void {
    const { sampleRate, channels } = this.#options
    const length = frame.length / SAMPLE_BYTES / channels
    const ms = (length / sampleRate) * 1000
    if (gapMs > 0) this.#skip(gapMs)
    if (this.#audioMs === 0) this.#firstFrame(performance.now())
    this.#watchClock(ms)
    if (this.#sent.length === 0 && this.#playing.length === 0 && !this.#tail) {
      this.#clockMs += ms
      this.#audioMs += ms
      this.current = undefined
      return
    }
    if (this.#output.length !== length) this.#output = new Int16Array(length)
    const output = this.#output
    let heard = false
    for (let at = 0; at < length; at += this.#tick) {
      const size = Math.min(this.#tick, length - at)
      heard = this.#play(output, at, size) || heard
    }
    this.current = heard && this.#check?.isIncluded(frame, output) !== true ? output : undefined
  }

  #add(kind: 'audio' | 'silence' | 'private', length: number, released: Release, now: number): void {
    const sent: Sent = { kind, at: Infinity, length, sync: undefined }
    this.#sent.push(sent)
    this.#waiting += length
    if (released) {
      // Audio behind other audio needs no ping, since it is played right after that audio, whenever jambonz reads it.
      const isFirst =
        released === 'dry' ||
        (this.#playing.length === 0 &&
          !this.#sent.some(({ at, kind }) => at !== Infinity && kind !== 'clear'))
      if (isFirst) sent.sync = this.#ask()
      for (let i = this.#sent.length - 1; i >= 0; i--) {
        const each = this.#sent[i]
        if (each === undefined || each.at !== Infinity) break
        each.at = now
        if (sent.sync) each.sync = sent.sync
      }
    }
    while (this.#waiting > (MAX_WAITING * this.#options.rate) / 1000) {
      this.#dropFirst(this.#playing.length > 0 ? this.#playing : this.#sent)
    }
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

  // Drops the first of `items`, which are #playing, or #sent while nothing plays.
  #dropFirst(items: Sent[]): void {
    const first = items.shift()
    if (first === undefined) return
    const samples = first.length - this.#head
    this.#head = 0
    this.#waiting -= samples
    if (first.kind === 'audio') this.#ring.drop(samples)
  }

  // Corrects pongs that came before the first frame. jambonz sends the first frame of both parties one tick after the
  // audio that it plays.
  #firstFrame(now: number): void {
    if (this.#options.mixType === 'mono') return
    for (const { sync } of this.#sent) {
      if (sync && sync.fromMs <= 0 && now - sync.at > PAIR_DELAY) sync.fromMs = -PAIR_DELAY
    }
  }

  // Measures the delay of a frame of length `ms`.
  #watchClock(ms: number): void {
    const now = performance.now()
    if (now > this.#halfEndsAt) {
      this.#delayBefore = this.#delay
      this.#delay = Infinity
      this.#halfEndsAt = now + CLOCK_WINDOW / 2
    }
    this.#delay = Math.min(this.#delay, now - this.#clockMs - ms)
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

  // Moves items that jambonz had read by this tick from #sent to #playing. Returns true if one was a clear.
  #receive(): boolean {
    const { mixType, roundTrip } = this.#options
    const hold = mixType === 'mono' ? 0 : PAIR_DELAY
    const horizon = this.#clockMs + Math.min(this.#delay, this.#delayBefore) - roundTrip() - hold
    let isCleared = false
    const tickMs = this.#clockMs - FRAME_MS - hold + EPSILON
    for (let next = this.#sent[0]; next !== undefined; next = this.#sent[0]) {
      const { at, sync } = next
      if (sync === undefined ? at > horizon : tickMs < sync.fromMs && at > horizon - PONG_PATIENCE) break
      this.#sent.shift()
      if (next.kind === 'clear') {
        isCleared = true
        while (this.#playing.length > 0) this.#dropFirst(this.#playing)
      } else this.#playing.push(next)
    }
    return isCleared
  }

  // Fills `wanted` samples of `into` with audio of #playing, the rest with silence. Returns the length of the audio.
  #fill(into: Int16Array, at: number, wanted: number, isCleared: boolean): number {
    const count = isCleared ? 0 : this.#take(into, at, wanted)
    if (count < wanted) into.fill(0, at + count, at + wanted)
    return count
  }

  #take(into: Int16Array, at: number, wanted: number): number {
    let count = 0
    for (let next = this.#playing[0]; next !== undefined; next = this.#playing[0]) {
      if (next.kind === 'label') next.label(Math.round(this.#audioMs + (count / this.#options.rate) * 1000))
      if (count === wanted && next.length > 0) break
      const part = Math.min(wanted - count, next.length - this.#head)
      this.#waiting -= part
      if (next.kind === 'audio') this.#ring.shift(into, at + count, part)
      else into.fill(0, at + count, at + count + part)
      count += part
      this.#head += part
      if (this.#head < next.length) break
      this.#playing.shift()
      this.#head = 0
    }
    return count
  }

  // Drops the application's audio that the caller heard during a gap, for which there is no frame.
  #skip(gapMs: number): void {
    const end = this.#clockMs + gapMs
    const audioMs = this.#audioMs
    const into = new Int16Array(this.#tick)
    while (this.#clockMs < end && this.#sent.length + this.#playing.length > 0) {
      this.#play(into, 0, this.#tick)
    }
    this.#clockMs = end
    this.#audioMs = audioMs
  }
}
