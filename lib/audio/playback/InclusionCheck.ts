import type { FastifyBaseLogger } from 'fastify'
import { SAMPLE_BYTES } from '../../pcm/samples.js'

/** Mean square under which audio of ours is too quiet to be looked for. */
const LOUD = 200 ** 2
/** A frame of jambonz' that is quieter than ours by this (as a part of its power) does not contain it. */
const QUIET = 1 / 16
/** Such frames in a row that prove that jambonz does not send what it is sent: it could be a few frames late. */
const PROOF = 8
/** ms of audio that are compared, and by how much one may be later than the other */
const COMPARED = 400
const MAX_SHIFT = 60
/** Hz at which they are compared */
const RATE = 8_000
/** How alike they are, 0 to 1, where one contains the other. */
const ALIKE = 0.6

/**
 * Finds out, once, whether a media server puts what the application streams into the audio it sends: then it must not
 * be added. jambonz 0.9 never does; of others nobody knows. Until it is known, ours is taken for contained wherever the
 * frame is loud enough to contain it.
 */
export class InclusionCheck {
  readonly #channels: number
  readonly #step: number
  readonly #logger: FastifyBaseLogger
  readonly #theirs: Float32Array
  readonly #ours: Float32Array
  #filled = 0
  #quiet = 0
  #included: boolean | undefined

  constructor(sampleRate: number, channels: number, logger: FastifyBaseLogger) {
    this.#channels = channels
    this.#step = Math.max(1, Math.floor(sampleRate / RATE))
    this.#logger = logger
    const length = Math.floor((COMPARED * sampleRate) / 1000 / this.#step)
    this.#theirs = new Float32Array(length)
    this.#ours = new Float32Array(length)
  }

  /** Tells whether `frame` of jambonz' contains what the caller heard of us meanwhile. */
  isIncluded(frame: Buffer, heard: Int16Array): boolean {
    if (this.#included !== undefined) return this.#included
    const last = this.#channels - 1
    let theirPower = 0
    let ourPower = 0
    for (let i = 0; i < heard.length; i++) {
      theirPower += frame.readInt16LE((i * this.#channels + last) * SAMPLE_BYTES) ** 2
      ourPower += (heard[i] ?? 0) ** 2
    }
    const quiet = theirPower < ourPower * QUIET
    if (ourPower < LOUD * heard.length && this.#filled === 0) return !quiet
    if (quiet && this.#filled === 0) {
      if (++this.#quiet >= PROOF) this.#included = false
      return false
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
    if (this.#filled < this.#ours.length) return
    this.#included = likeness(this.#ours, this.#theirs, (MAX_SHIFT * RATE) / 1000) >= ALIKE
    if (this.#included) {
      this.#logger.info('jambonz sends what is streamed to it: recordings and supervisors get it from there')
    }
  }
}

/** Returns how alike two sounds are, 0 to 1, if one is moved by at most `maxShift` samples. */
function likeness(a: Float32Array, b: Float32Array, maxShift: number): number {
  let best = 0
  for (let shift = -maxShift; shift <= maxShift; shift++) {
    let both = 0
    let squareA = 0
    let squareB = 0
    for (let i = Math.max(0, -shift); i < a.length - Math.max(0, shift); i++) {
      const x = a[i] ?? 0
      const y = b[i + shift] ?? 0
      both += x * y
      squareA += x * x
      squareB += y * y
    }
    if (squareA > 0 && squareB > 0) best = Math.max(best, both / Math.sqrt(squareA * squareB))
  }
  return best
}
