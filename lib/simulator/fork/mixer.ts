import { interleave, mix } from '../audio/pcm.js'
import { Resampler } from '../audio/resampler.js'
import type { ListenRecord } from '../types.js'

/**
 * Makes one message's worth of samples out of what a party said and heard in 20 ms: `mono` is what it said alone, `stereo`
 * said and heard interleaved, `mixed` their sum; at the listen's own rate.
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

  /** True when a frame leaves one tick after it was heard: with two directions both are there only then. */
  get late(): boolean {
    return this.#mixType !== 'mono'
  }

  /** Valid until the next frame. Nothing comes of the first one with two directions: both are there only one tick later. */
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

  /** Forgets the frame that waits for its other half. */
  reset(): void {
    this.#previous = undefined
  }
}
