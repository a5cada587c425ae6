import { ERR_AUDIO_FILE } from '../model/errors.js'
import { decodeAlaw, decodeMulaw } from './g711.js'
import { FULL_SCALE, samplesOf, toSample } from './samples.js'
import { parseWavHeader, type WavHeader } from './wavHeader.js'

/** A sound: mono samples at `sampleRate` Hz. */
export interface Sound {
  samples: Int16Array
  sampleRate: number
}

/** Audio that is read piece by piece. A frame has one sample of each channel. */
export interface Frames {
  /** Hz */
  readonly sampleRate: number
  /** total number of frames */
  readonly length: number
  /** bytes of one frame */
  readonly frameBytes: number
  /** Returns the frames from `from` up to `to`, mixed to mono. */
  read(from: number, to: number): Int16Array
}

const PCM = 1
const FLOAT = 3
const ALAW = 6
const MULAW = 7
/** Codecs of WAV files that are not supported, by their format codes. */
const CODECS: Readonly<Record<number, string>> = {
  2: 'Microsoft ADPCM',
  17: 'IMA ADPCM',
  49: 'GSM 6.10',
  80: 'MPEG',
  85: 'MP3',
  255: 'AAC'
}
const MIN_RATE = 4_000
const MAX_RATE = 384_000

/** Reads a whole WAV. Throws FST_JAMBONZ_AUDIO_FILE. */
export function readWav(wav: Uint8Array): Sound {
  const frames = openWav(wav)
  return { samples: frames.read(0, frames.length), sampleRate: frames.sampleRate }
}

/**
 * Opens a WAV of PCM (8 to 32 bits), float (32 or 64 bits), A-law or mu-law. Throws FST_JAMBONZ_AUDIO_FILE.
 */
export function openWav(wav: Uint8Array): Frames {
  const file = Buffer.from(wav.buffer, wav.byteOffset, wav.byteLength)
  const header = parseWavHeader(file, (problem) => new ERR_AUDIO_FILE(`the WAV ${problem}`))
  checkPlayable(header)
  const { code, channels, sampleRate, bitsPerSample, dataOffset, dataBytes } = header
  const { decode, sampleBytes } = decoderOf(code, bitsPerSample)
  const frameBytes = channels * sampleBytes
  const data = file.subarray(dataOffset)
  // The header of a streamed file says 0 or 4 GiB, so the samples go on to the end.
  const bytes = Math.min(dataBytes || Infinity, data.length)
  return {
    sampleRate,
    frameBytes,
    length: Math.floor(bytes / frameBytes),
    read: (from, to) => toMono(decode(data.subarray(from * frameBytes, to * frameBytes)), channels)
  }
}

function checkPlayable({ channels, sampleRate }: WavHeader): void {
  if (channels < 1) throw new ERR_AUDIO_FILE('the WAV has no channels')
  if (sampleRate < MIN_RATE || sampleRate > MAX_RATE) {
    throw new ERR_AUDIO_FILE(
      `the WAV's sample rate is ${sampleRate} Hz; ${MIN_RATE} to ${MAX_RATE} can be played`
    )
  }
}

interface Decoder {
  sampleBytes: number
  decode: (bytes: Buffer) => Int16Array
}

function decoderOf(code: number, bits: number): Decoder {
  // Samples of 12 bits are stored in the upper bits of 16, and so on.
  const sampleBytes = Math.ceil(bits / 8)
  if (code === PCM && sampleBytes === 2) return { sampleBytes, decode: samplesOf }
  if (code === PCM && sampleBytes === 1) return { sampleBytes, decode: decodeBytes }
  if (code === PCM && (sampleBytes === 3 || sampleBytes === 4)) {
    return { sampleBytes, decode: (bytes) => decodeWide(bytes, sampleBytes) }
  }
  if (code === FLOAT && bits === 32) return { sampleBytes, decode: (bytes) => decodeFloat(bytes, 4) }
  if (code === FLOAT && bits === 64) return { sampleBytes, decode: (bytes) => decodeFloat(bytes, 8) }
  if (code === ALAW && bits === 8) return { sampleBytes, decode: decodeAlaw }
  if (code === MULAW && bits === 8) return { sampleBytes, decode: decodeMulaw }
  const codec = CODECS[code] === undefined ? '' : `${CODECS[code]}, `
  throw new ERR_AUDIO_FILE(
    `the WAV is of ${codec}format ${code} with ${bits} bits; convert it first (sox in.wav -e signed-integer -b 16 out.wav)`
  )
}

function decodeBytes(bytes: Buffer): Int16Array {
  const samples = new Int16Array(bytes.length)
  for (let i = 0; i < samples.length; i++) samples[i] = ((bytes[i] ?? 128) - 128) << 8
  return samples
}

// Takes the upper 16 bits of each sample.
function decodeWide(bytes: Buffer, sampleBytes: number): Int16Array {
  const samples = new Int16Array(Math.floor(bytes.length / sampleBytes))
  for (let i = 0, at = sampleBytes - 2; i < samples.length; i++, at += sampleBytes) {
    samples[i] = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)
  }
  return samples
}

function decodeFloat(bytes: Buffer, sampleBytes: 4 | 8): Int16Array {
  const samples = new Int16Array(Math.floor(bytes.length / sampleBytes))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0; i < samples.length; i++) {
    const at = i * sampleBytes
    const value = sampleBytes === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true)
    samples[i] = toSample(value * FULL_SCALE)
  }
  return samples
}

function toMono(samples: Int16Array, channels: number): Int16Array {
  if (channels === 1) return samples
  const mono = new Int16Array(Math.floor(samples.length / channels))
  for (let i = 0, at = 0; i < mono.length; i++) {
    let sum = 0
    for (let channel = 0; channel < channels; channel++) sum += samples[at++] ?? 0
    mono[i] = Math.round(sum / channels)
  }
  return mono
}
