import { interleave, mix } from '../audio/pcm.js'
import { Resampler } from '../audio/resampler.js'
import type { ListenRecord } from '../types.js'

/**
 * Makes the samples of one message, at the rate of the listen, from the 20 ms of audio that a party said and the 20 ms
 * that it heard. `mono`: the audio that it said; `stereo`: both, interleaved; `mixed`: the sum of both.
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

  /** True if each frame is sent one tick later, because a mix needs both directions. */
  get late(): boolean {
    return this.#mixType !== 'mono'
  }

  /**
   * Returns the samples, which are valid until the next frame; undefined for the first frame of a mix of two
   * directions.
   */
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

  /** Drops the frame that waits for the audio of the other direction. */
  reset(): void {
    this.#previous = undefined
  }
}
