import type { FastifyBaseLogger } from 'fastify'
import { SAMPLE_BYTES } from '../../pcm/samples.js'

/** Mean square of the application's audio below which it is too quiet to be found in a frame. */
const LOUD = 200 ** 2
/** A frame of jambonz whose power is below this part of the application's power does not contain that audio. */
const QUIET = 1 / 16
/**
 * Number of such quiet frames in a row after which the result is "not included". A few quiet frames may only
 * be late.
 */
const QUIET_FRAMES = 8
/** ms of audio in the first comparison; each further comparison is longer by as much */
const FIRST_COMPARED = 100
/** ms of audio in the longest comparison */
const COMPARED = 400
/** ms by which the application's audio may be shifted in the audio of jambonz */
const MAX_SHIFT = 60
/** Hz of the audio that is compared */
const RATE = 8_000
/**
 * Gain from which on the application's audio is included. The gain is the level of the application's audio in
 * the audio of jambonz, divided by the level at which it was sent.
 */
const INCLUDED_GAIN = 0.6
/** Gain below which the application's audio is not included. */
const ABSENT_GAIN = 0.35
/** A second match is a rival of the best match if it is more than this many ms away. */
const RIVAL_DISTANCE = 5
/**
 * If a rival has at least this part of the best gain, the sound is a tone, which matches at many shifts and
 * proves nothing.
 */
const RIVAL_GAIN = 0.9
/** Number of comparisons of 400 ms without a result, after which the result is "not included", as on jambonz 0.9. */
const MAX_TRIES = 10

/**
 * Checks, once for each stream, whether the media server includes the application's audio in the audio that it sends.
 * If so, a recording must not add that audio again. jambonz 0.9 never includes it; other versions were not measured. An
 * echo on the caller's line arrives later or weaker, and does not count. While there is no result yet, a frame counts
 * as including the audio if it is loud enough.
 */
export class InclusionCheck {
  readonly #channels: number
  readonly #step: number
  readonly #logger: FastifyBaseLogger
  readonly #theirs: Float32Array
  readonly #ours: Float32Array
  readonly #first: number
  #filled = 0
  #compareAt: number
  #tries = 0
  #quiet = 0
  #included: boolean | undefined

  constructor(sampleRate: number, channels: number, logger: FastifyBaseLogger) {
    this.#channels = channels
    this.#step = Math.max(1, Math.floor(sampleRate / RATE))
    this.#logger = logger
    const perMs = sampleRate / 1000 / this.#step
    this.#theirs = new Float32Array(Math.floor(COMPARED * perMs))
    this.#ours = new Float32Array(this.#theirs.length)
    this.#first = Math.floor(FIRST_COMPARED * perMs)
    this.#compareAt = this.#first
  }

  /**
   * Returns true if a frame of jambonz contains `heard`, the application's audio that the caller heard in this time.
   */
  isIncluded(frame: Buffer, heard: Int16Array): boolean {
    if (this.#included !== undefined) return this.#included
    const last = this.#channels - 1
    let [theirSum, theirSquares, ourSum, ourSquares] = [0, 0, 0, 0]
    for (let i = 0; i < heard.length; i++) {
      const theirs = frame.readInt16LE((i * this.#channels + last) * SAMPLE_BYTES)
      const ours = heard[i] ?? 0
      theirSum += theirs
      theirSquares += theirs * theirs
      ourSum += ours
      ourSquares += ours * ours
    }
    const theirPower = theirSquares - theirSum ** 2 / heard.length
    const ourPower = ourSquares - ourSum ** 2 / heard.length
    const quiet = theirPower <= ourPower * QUIET
    if (this.#filled === 0) {
      if (ourPower < LOUD * heard.length) return !quiet
      if (quiet) {
        if (++this.#quiet >= QUIET_FRAMES) this.#included = false
        return false
      }
    }
    this.#quiet = 0
    this.#compare(frame, heard, last)
    return this.#included ?? !quiet
  }

  #compare(frame: Buffer, heard: Int16Array, channel: number): void {
    for (let i = 0; i < heard.length && this.#filled < this.#ours.length; i += this.#step) {
      this.#ours[this.#filled] = heard[i] ?? 0
      this.#theirs[this.#filled] = frame.readInt16LE((i * this.#channels + channel) * SAMPLE_BYTES)
      this.#filled++
    }
    if (this.#filled < this.#compareAt) return
    const isLast = this.#filled === this.#ours.length
    this.#included = contains(
      this.#theirs.subarray(0, this.#filled),
      this.#ours.subarray(0, this.#filled),
      isLast ? INCLUDED_GAIN : ABSENT_GAIN
    )
    this.#compareAt += this.#first
    if (this.#included === undefined && isLast) {
      this.#filled = 0
      this.#compareAt = this.#first
      if (++this.#tries >= MAX_TRIES) this.#included = false
    }
    if (this.#included) {
      this.#logger.info("jambonz includes the application's audio in what it sends; recordings do not add it")
    }
  }
}

/**
 * Returns true if `theirs` contains `ours` at about the same level, shifted by at most 60 ms. Returns false if the gain
 * of the best match is below `least`. Returns undefined if the audio proves nothing: a tone, or a caller who is much
 * louder.
 */
function contains(theirs: Float32Array, ours: Float32Array, least: number): boolean | undefined {
  const maxShift = (MAX_SHIFT * RATE) / 1000
  const gains = new Float32Array(2 * maxShift + 1)
  const [meanOfTheirs, meanOfOurs] = [meanOf(theirs), meanOf(ours)]
  let best = 0
  for (let at = 0; at < gains.length; at++) {
    const shift = at - maxShift
    const [from, to] = [Math.max(0, -shift), ours.length - Math.max(0, shift)]
    let both = 0
    let squares = 0
    for (let i = from; i < to; i++) {
      const own = (ours[i] ?? 0) - meanOfOurs
      both += own * ((theirs[i + shift] ?? 0) - meanOfTheirs)
      squares += own * own
    }
    gains[at] = squares > 0 ? both / squares : 0
    if ((gains[at] ?? 0) > (gains[best] ?? 0)) best = at
  }
  const gain = gains[best] ?? 0
  if (gain < least) return false
  const near = (RIVAL_DISTANCE * RATE) / 1000
  const rival = gains.reduce((max, other, at) => (Math.abs(at - best) > near ? Math.max(max, other) : max), 0)
  return gain >= INCLUDED_GAIN && gain <= 1 / INCLUDED_GAIN && rival < gain * RIVAL_GAIN ? true : undefined
}

function meanOf(samples: Float32Array): number {
  return samples.reduce((sum, sample) => sum + sample, 0) / samples.length
}
