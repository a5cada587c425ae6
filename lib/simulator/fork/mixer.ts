import { interleave, mix } from '../audio/pcm.js'
import { Resampler } from '../audio/resampler.js'
import type { ListenRecord } from '../types.js'

/**
 * Makes the samples of one message from what a party said and heard in 20 ms, at the rate of the listen. `mono`: what
 * it said; `stereo`: said and heard, interleaved; `mixed`: their sum.
 */
export class FrameMixer {
  readonly #mixType: ListenRecord['mixType']
  readonly #resamplers: Resampler[] = []
  #previous: [Int16Array, Int16Array] | undefined

  constructor(mixType: ListenRecord['mixType'], callRate: number, sampleRate: number) {
    this.#mixType = mixType
    if (callRate === sampleRate) return
    for (let channel = 0; channel < (mixType === 'stereo' ? 2 : 1); channel++) {
      this.#resamplers.push(new Resampler(callRate, sampleRate))
    }
  }

  /** True if a frame is sent one tick late: with two directions, both are available only then. */
  get late(): boolean {
    return this.#mixType !== 'mono'
  }

  /** Returns the samples, valid until the next frame; undefined for the first frame if there are two directions. */
  frame(said: Int16Array, heard: Int16Array): Int16Array | undefined {
    const [first, second] = this.#resamplers
    if (this.#mixType === 'mono') return first?.process(said) ?? said
    const previous = this.#previous
    this.#previous = [said.slice(), heard.slice()]
    if (previous === undefined) return undefined
    const [left, right] = previous
    if (this.#mixType === 'stereo') {
      return interleave(first?.process(left) ?? left, second?.process(right) ?? right)
    }
    mix(left, right)
    return first?.process(left) ?? left
  }

  /** Drops the frame that waits for its other direction. */
  reset(): void {
    this.#previous = undefined
  }
}
