const TAPS_AT_UNITY = 16

/**
 * A streaming resampler of mono 16-bit audio, for any two rates in whole Hz, by a windowed-sinc polyphase filter. From
 * `n` samples of input the stream makes exactly `ceil(n * to / from)` samples of output.
 */
export class Resampler {
  readonly #up: number
  readonly #down: number
  readonly #taps: number
  readonly #filter: Float32Array
  #history: Float32Array
  #consumed = 0
  #produced = 0

  constructor(from: number, to: number) {
    const divisor = gcd(from, to)
    this.#up = to / divisor
    this.#down = from / divisor
    const stretch = Math.max(1, this.#down / this.#up)
    this.#taps = Math.ceil((TAPS_AT_UNITY * stretch) / 2) * 2
    this.#filter = design(this.#up, this.#taps, 1 / stretch)
    this.#history = new Float32Array(this.#taps - 1)
  }

  process(input: Int16Array): Int16Array {
    const taps = this.#taps
    const window = new Float32Array(taps - 1 + input.length)
    window.set(this.#history)
    for (let i = 0; i < input.length; i++) window[taps - 1 + i] = input[i]!
    const total = this.#consumed + input.length
    const out = new Int16Array(Math.ceil((total * this.#up) / this.#down) - this.#produced)
    for (let k = 0; k < out.length; k++) {
      const position = (this.#produced + k) * this.#down
      const newest = Math.floor(position / this.#up) - this.#consumed + taps - 1
      const phase = (position % this.#up) * taps
      let sum = 0
      for (let tap = 0; tap < taps; tap++) sum += window[newest - tap]! * this.#filter[phase + tap]!
      out[k] = sum > 32_767 ? 32_767 : sum < -32_768 ? -32_768 : Math.round(sum)
    }
    this.#consumed = total
    this.#produced += out.length
    this.#history = window.slice(window.length - (taps - 1))
    return out
  }
}

/** Returns a whole sound at another rate. */
export function resample(samples: Int16Array, from: number, to: number): Int16Array {
  return from === to ? samples : new Resampler(from, to).process(samples)
}

// Returns one row of filter taps per phase. Each row is scaled to a gain of 1, so that the level stays the same.
function design(phases: number, taps: number, cutoff: number): Float32Array {
  const filter = new Float32Array(phases * taps)
  const centre = taps / 2
  for (let phase = 0; phase < phases; phase++) {
    let gain = 0
    for (let tap = 0; tap < taps; tap++) {
      const x = tap + phase / phases - centre
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x * cutoff) / (Math.PI * x * cutoff)
      const hann = Math.abs(x) >= centre ? 0 : 0.5 + 0.5 * Math.cos((Math.PI * x) / centre)
      filter[phase * taps + tap] = sinc * hann
      gain += sinc * hann
    }
    for (let tap = 0; tap < taps; tap++) filter[phase * taps + tap]! /= gain
  }
  return filter
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b)
}
