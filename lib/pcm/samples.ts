import { types } from 'node:util'

/** Bytes of one sample: s16le. */
export const SAMPLE_BYTES = 2
/** ms of one frame. jambonz reads, sends and plays audio in frames of this length. */
export const FRAME_MS = 20
/** While a mark waits, mod_audio_fork takes a sample of this value in our audio for the mark. */
export const MARK_SAMPLE = -1

/** Low byte of -2, which replaces MARK_SAMPLE, since nobody hears the difference. */
const SUBSTITUTE_LOW_BYTE = 0xfe

/** L16 audio that the application gives: the bytes of its samples, or the samples. */
export type L16 = Uint8Array | Int16Array

/**
 * Returns the bytes of L16 audio, without a copy. Returns undefined for text, and for samples of another kind, such as a
 * Float32Array. Any other value is returned unchanged.
 */
export function l16Of(audio: unknown): unknown {
  if (types.isUint8Array(audio)) return audio
  if (types.isInt16Array(audio)) return bytesOf(audio)
  return typeof audio === 'string' || ArrayBuffer.isView(audio) ? undefined : audio
}

/** Returns the samples of L16 bytes, without a copy if their memory is aligned. */
export function samplesOf(pcm: Buffer): Int16Array {
  const aligned = pcm.byteOffset % SAMPLE_BYTES === 0 ? pcm : Buffer.from(new Uint8Array(pcm).buffer)
  return new Int16Array(aligned.buffer, aligned.byteOffset, Math.floor(aligned.length / SAMPLE_BYTES))
}

/** Returns the bytes of samples, without a copy. */
export function bytesOf(samples: Int16Array): Buffer {
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
}

/**
 * Returns the audio without samples that jambonz would take for a mark. Copies the audio only if there are
 * any.
 */
export function withoutMarkSamples(pcm: Buffer): Buffer {
  const samples = samplesOf(pcm)
  let at = samples.indexOf(MARK_SAMPLE)
  if (at < 0) return pcm
  const copy = Buffer.from(pcm)
  for (; at >= 0; at = samples.indexOf(MARK_SAMPLE, at + 1)) copy[at * SAMPLE_BYTES] = SUBSTITUTE_LOW_BYTE
  return copy
}

/** Returns `samples` samples of L16 silence. */
export function silenceOf(samples: number): Buffer {
  return Buffer.alloc(samples * SAMPLE_BYTES)
}

/** The value that stands for 1 in floating point. */
export const FULL_SCALE = 32_768
/** The lowest and the highest value of a sample. */
export const LOWEST = -32_768
export const HIGHEST = 32_767

/** Returns the nearest sample to a value, clipped to 16 bits. */
export function toSample(value: number): number {
  return Math.max(LOWEST, Math.min(HIGHEST, Math.round(value)))
}

/** Adds `heard` to the last channel of interleaved samples. Sums beyond 16 bits are clipped. */
export function addHeard(samples: Int16Array, heard: Int16Array, channels: number): void {
  for (let i = 0, at = channels - 1; i < heard.length; i++, at += channels) {
    const sum = (samples[at] ?? 0) + (heard[i] ?? 0)
    samples[at] = sum < LOWEST ? LOWEST : sum > HIGHEST ? HIGHEST : sum
  }
}

/**
 * Writes the caller's frame, and the application's audio that the caller heard, into `pairs`, in turn sample
 * by sample. The caller is the left channel. Without `heard`, the right channel is silent.
 */
export function pairUp(frame: Buffer, heard: Int16Array | undefined, pairs: Int16Array): void {
  for (let at = 0, i = 0; at < frame.length; at += SAMPLE_BYTES, i++) {
    pairs[2 * i] = ((frame[at + 1] ?? 0) << 8) | (frame[at] ?? 0)
    pairs[2 * i + 1] = heard?.[i] ?? 0
  }
}

const HALF = 15
const HALF_MASK = (1 << HALF) - 1
/** Maximum number of samples that are measured at once, since the sums of more samples would overflow. */
const MOST = 1 << HALF
const FLOOR_DB = -120

/** The level of one channel in dBFS: 0 is the loudest, silence is -120. A sine of full scale has an RMS of -3. */
export interface Level {
  peakDb: number
  rmsDb: number
}

/** Measures peak and RMS of each channel, on blocks of samples rather than on frames. */
export class Levels {
  readonly #channels: number
  /** for each channel, the square of the loudest sample; a plain array, since a typed one takes 0.2 KiB more */
  readonly #peaks: number[]
  readonly #squares: number[]
  #moments = 0

  constructor(channels: number) {
    this.#channels = channels
    this.#peaks = new Array<number>(channels).fill(0)
    this.#squares = new Array<number>(channels).fill(0)
  }

  /** Measures the first `count` samples, which are interleaved. */
  add(samples: Int16Array, count: number): void {
    for (let from = 0; from < count; from += MOST) {
      const part = from === 0 ? samples : samples.subarray(from)
      for (let channel = 0; channel < this.#channels; channel++) {
        this.#measure(part, Math.min(MOST, count - from), channel)
      }
    }
    this.#moments += count / this.#channels
  }

  /** Counts `count` samples of silence, all channels together. */
  addSilence(count: number): void {
    this.#moments += count / this.#channels
  }

  /** bytes of samples measured */
  get bytes(): number {
    return this.#moments * this.#channels * Int16Array.BYTES_PER_ELEMENT
  }

  get channels(): Level[] {
    return Array.from({ length: this.#channels }, (_, channel) => ({
      peakDb: decibel(Math.sqrt(this.#peaks[channel] ?? 0) / FULL_SCALE),
      rmsDb: decibel(
        this.#moments === 0 ? 0 : Math.sqrt((this.#squares[channel] ?? 0) / this.#moments) / FULL_SCALE
      )
    }))
  }

  #measure(samples: Int16Array, count: number, channel: number): void {
    const step = this.#channels
    // This loop sees every sample of every call, so it uses integers only. A square has 30 bits; its two
    // halves are summed apart, so that the squares of a whole block fit into 32 bits each.
    let peak = 0
    let high = 0
    let low = 0
    for (let at = channel; at < count; at += step) {
      const sample = samples[at] ?? 0
      const square = Math.imul(sample, sample)
      if (square > peak) peak = square
      high = (high + (square >>> HALF)) | 0
      low = (low + (square & HALF_MASK)) | 0
    }
    this.#peaks[channel] = Math.max(this.#peaks[channel] ?? 0, peak)
    this.#squares[channel] = (this.#squares[channel] ?? 0) + high * (1 << HALF) + low
  }
}

function decibel(ratio: number): number {
  return ratio === 0 ? FLOOR_DB : Math.max(FLOOR_DB, Math.round(200 * Math.log10(ratio)) / 10)
}

/** A queue of samples in one piece of memory, which grows with the number of samples. */
export class SampleRing {
  #samples: Int16Array
  // The same memory. Audio is copied as bytes, since a view of its samples would cost more than the copy.
  #bytes: Uint8Array
  #start = 0
  #length = 0

  /** `room`: samples for which there is room at first */
  constructor(room: number) {
    this.#samples = new Int16Array(room)
    this.#bytes = new Uint8Array(this.#samples.buffer)
  }

  /** Samples in the queue. */
  get length(): number {
    return this.#length
  }

  /** Samples that the queue takes before it needs more memory. */
  get room(): number {
    return this.#samples.length
  }

  /** Copies L16 audio, in whole samples, to the end of the queue. */
  push(pcm: Uint8Array): void {
    const count = pcm.length / SAMPLE_BYTES
    if (this.#length + count > this.#samples.length) this.#grow(this.#length + count)
    const at = ((this.#start + this.#length) % this.#samples.length) * SAMPLE_BYTES
    const first = Math.min(pcm.length, this.#bytes.length - at)
    if (first === pcm.length) this.#bytes.set(pcm, at)
    else {
      this.#bytes.set(pcm.subarray(0, first), at)
      this.#bytes.set(pcm.subarray(first), 0)
    }
    this.#length += count
  }

  /** Returns true if a sample of the queue has this value. */
  includes(value: number): boolean {
    const end = this.#start + this.#length
    const { length } = this.#samples
    return (
      this.#samples.subarray(this.#start, end).includes(value) ||
      this.#samples.subarray(0, Math.max(0, end - length)).includes(value)
    )
  }

  /** Moves the first `count` samples to `into`, from its place `at` on. The queue must have them. */
  shift(into: Int16Array, at: number, count: number): void {
    const first = Math.min(count, this.#samples.length - this.#start)
    into.set(this.#samples.subarray(this.#start, this.#start + first), at)
    if (first < count) into.set(this.#samples.subarray(0, count - first), at + first)
    this.drop(count)
  }

  /** Drops the first `count` samples. The queue must have them. */
  drop(count: number): void {
    this.#length -= count
    this.#start = (this.#start + count) % this.#samples.length
  }

  #grow(needed: number): void {
    const length = this.#length
    const samples = new Int16Array(Math.max(needed, 2 * this.#samples.length))
    this.shift(samples, 0, length)
    this.#samples = samples
    this.#bytes = new Uint8Array(samples.buffer)
    this.#start = 0
    this.#length = length
  }
}
