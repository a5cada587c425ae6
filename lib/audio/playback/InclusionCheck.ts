import type { FastifyBaseLogger } from 'fastify'
import { SAMPLE_BYTES } from '../../pcm/samples.js'

/** Mean square under which audio of ours is too quiet to be looked for. */
const LOUD = 200 ** 2
/** A frame of jambonz' that is quieter than ours by this (as a part of its power) does not contain it. */
const QUIET = 1 / 16
/** Such frames in a row that prove that jambonz does not send what it is sent: it could be a few frames late. */
const PROOF = 8
/** ms of audio that are compared: a first time, and at most; and by how much one may be later than the other */
const FIRST_COMPARED = 100
const COMPARED = 400
const MAX_SHIFT = 60
/** Hz at which they are compared */
const RATE = 8_000
/** Our part in their audio, 1 being as loud as it was sent: it is there from here on, and surely is not below. */
const THERE = 0.6
const NOT_THERE = 0.35
/** A sound that is nearly as much there when it is moved by more than this (ms) is a tone: it proves nothing. */
const NEAR = 5
const RIVAL = 0.9
/** Comparisons of 400 ms that may prove nothing; then ours counts as not there, as on jambonz 0.9 */
const MAX_TRIES = 10

/**
 * Finds out, once, whether a media server puts what the application streams into the audio it sends: then it must not
 * be added. jambonz 0.9 never does; of others nobody knows. An echo of it on the caller's line is later, or weaker, and
 * does not count. Until it is known, ours is taken for contained wherever the frame is loud enough to contain it.
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

  /** Returns true if a frame of jambonz contains what the caller heard of the application during it. */
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
        if (++this.#quiet >= PROOF) this.#included = false
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
      isLast ? THERE : NOT_THERE
    )
    this.#compareAt += this.#first
    if (this.#included === undefined && isLast) {
      this.#filled = 0
      this.#compareAt = this.#first
      if (++this.#tries >= MAX_TRIES) this.#included = false
    }
    if (this.#included) {
      this.#logger.info('jambonz sends what is streamed to it: recordings and supervisors get it from there')
    }
  }
}

/**
 * Returns true if `theirs` contains `ours` at about the same level, shifted by at most 60 ms. Returns false if the best
 * match is weaker than `least`, and undefined if the audio is ambiguous, such as a tone, or a caller who is much
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
  const near = (NEAR * RATE) / 1000
  const rival = gains.reduce((max, other, at) => (Math.abs(at - best) > near ? Math.max(max, other) : max), 0)
  return gain >= THERE && gain <= 1 / THERE && rival < gain * RIVAL ? true : undefined
}

function meanOf(samples: Float32Array): number {
  return samples.reduce((sum, sample) => sum + sample, 0) / samples.length
}
