import { toSample } from './samples.js'

/**
 * Length of the filter, in samples of the lower rate. It passes the 3.4 kHz of telephony at 8 kHz, and keeps aliases
 * under -50 dB.
 */
const TAPS = 32
/**
 * Maximum number of entries in the filter's table. A ratio of rates that needs more entries uses the nearest
 * phase. The error is then 62 dB below the sound.
 */
const MAX_TABLE = 65_536

/**
 * Resamples mono 16-bit audio piece by piece, with a windowed-sinc polyphase filter for any ratio of whole
 * Hz. `n` samples yield `ceil(n * to / from)` samples over the life of the stream. The result is late by half
 * the length of the filter (2 ms at 8 kHz).
 */
export class Resampler {
  readonly #up: number
  readonly #down: number
  readonly #taps: number
  readonly #phases: number
  readonly #filter: Float32Array
  #history: Float32Array
  #consumed = 0
  #produced = 0

  constructor(from: number, to: number) {
    const divisor = greatestCommonDivisor(from, to)
    this.#up = to / divisor
    this.#down = from / divisor
    const stretch = Math.max(1, from / to)
    this.#taps = 2 * Math.ceil((TAPS * stretch) / 2)
    this.#phases = Math.min(this.#up, Math.floor(MAX_TABLE / this.#taps))
    this.#filter = design(this.#phases, this.#taps, 1 / stretch)
    this.#history = new Float32Array(this.#taps - 1)
  }

  /** Number of input samples by which the output is late. */
  get delay(): number {
    return this.#taps / 2
  }

  /** Takes `input` as the audio before the first sample. It yields no output. */
  prime(input: Int16Array): void {
    const before = new Float32Array(this.#history.length + input.length)
    before.set(input, this.#history.length)
    this.#history = before.slice(input.length)
  }

  process(input: Int16Array): Int16Array {
    const taps = this.#taps
    const phasesPerStep = this.#phases / this.#up
    const window = new Float32Array(taps - 1 + input.length)
    window.set(this.#history)
    window.set(input, taps - 1)
    const total = this.#consumed + input.length
    const output = new Int16Array(Math.ceil((total * this.#up) / this.#down) - this.#produced)
    for (let i = 0; i < output.length; i++) {
      const position = (this.#produced + i) * this.#down
      const newest = Math.floor(position / this.#up) - this.#consumed + taps - 1
      const row = Math.floor((position % this.#up) * phasesPerStep) * taps
      let sum = 0
      for (let tap = 0; tap < taps; tap++) sum += (window[newest - tap] ?? 0) * (this.#filter[row + tap] ?? 0)
      output[i] = toSample(sum)
    }
    this.#consumed = total
    this.#produced += output.length
    this.#history = window.slice(input.length)
    return output
  }
}

/** Returns a whole sound at another rate, without the delay of the filter. */
export function resample(samples: Int16Array, from: number, to: number): Int16Array {
  if (from === to) return samples
  const resampler = new Resampler(from, to)
  const { delay } = resampler
  const late = new Int16Array(delay + samples.length)
  late.set(samples)
  resampler.prime(late.subarray(0, delay))
  return resampler.process(late.subarray(delay))
}

/** Resamples a whole sound piece by piece, without the delay of the filter. The result is that of `resample()`. */
export class SoundResampler {
  readonly #resampler: Resampler
  readonly #lead: Int16Array
  #led = 0

  constructor(from: number, to: number) {
    this.#resampler = new Resampler(from, to)
    this.#lead = new Int16Array(this.#resampler.delay)
  }

  process(input: Int16Array): Int16Array {
    const room = this.#lead.length - this.#led
    if (room === 0) return this.#resampler.process(input)
    const lead = input.subarray(0, room)
    this.#lead.set(lead, this.#led)
    this.#led += lead.length
    if (this.#led < this.#lead.length) return new Int16Array(0)
    this.#resampler.prime(this.#lead)
    return this.#resampler.process(input.subarray(lead.length))
  }

  /** Returns the samples that the filter still holds at the end of the sound. */
  end(): Int16Array {
    if (this.#led < this.#lead.length) this.#resampler.prime(this.#lead)
    return this.#resampler.process(new Int16Array(this.#led))
  }
}

// Returns one row of taps for each phase. Each row has unity gain, so that silence and level stay the same.
function design(phases: number, taps: number, cutoff: number): Float32Array {
  const filter = new Float32Array(phases * taps)
  for (let phase = 0; phase < phases; phase++) {
    const row = Float64Array.from({ length: taps }, (_, tap) =>
      windowedSinc(tap + phase / phases - taps / 2, taps / 2, cutoff)
    )
    const gain = row.reduce((sum, tap) => sum + tap)
    for (let tap = 0; tap < taps; tap++) filter[phase * taps + tap] = (row[tap] ?? 0) / gain
  }
  return filter
}

function windowedSinc(x: number, halfWidth: number, cutoff: number): number {
  if (Math.abs(x) >= halfWidth) return 0
  const angle = Math.PI * x * cutoff
  const sinc = x === 0 ? 1 : Math.sin(angle) / angle
  return sinc * (0.5 + 0.5 * Math.cos((Math.PI * x) / halfWidth))
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
