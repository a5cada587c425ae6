import { ERR_AUDIO_FILE } from '../model/errors.js'
import { decodeAlaw, decodeMulaw } from './g711.js'
import { FULL_SCALE, samplesOf, toSample } from './samples.js'

/** A sound: mono samples at `sampleRate` Hz. */
export interface Sound {
  samples: Int16Array
  sampleRate: number
}

/** Audio that is read piece by piece. A frame has one sample of each channel. */
export interface Frames {
  /** Hz */
  readonly sampleRate: number
  /** frames in all */
  readonly length: number
  /** bytes of one frame */
  readonly frameBytes: number
  /** Returns the frames from `from` up to `to`, mixed to mono. */
  read(from: number, to: number): Int16Array
}

interface Format {
  code: number
  channels: number
  sampleRate: number
  bits: number
}

const PCM = 1
const FLOAT = 3
const ALAW = 6
const MULAW = 7
const EXTENSIBLE = 0xfffe
/** Codecs of WAV files that are not supported, by their format codes. */
const CODECS: Readonly<Record<number, string>> = {
  2: 'Microsoft ADPCM',
  17: 'IMA ADPCM',
  49: 'GSM 6.10',
  80: 'MPEG',
  85: 'MP3',
  255: 'AAC'
}
const HEADER = 12
const CHUNK_HEAD = 8
/** Size in the head of a chunk that is longer than 32 bits can say, or whose size was not known. */
const UNKNOWN_SIZE = 0xffff_ffff
const MIN_RATE = 4_000
const MAX_RATE = 384_000

/** Returns true if a file is a WAV: RIFF, or RF64 or BW64, which may be longer than 4 GiB. */
export function isWav(audio: Uint8Array): boolean {
  return (
    audio.length >= HEADER &&
    ['RIFF', 'RF64', 'BW64'].includes(latin1(audio, 0, 4)) &&
    latin1(audio, 8, 12) === 'WAVE'
  )
}

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
  let format: Format | undefined
  let longSize: number | undefined
  for (let at = HEADER; at + CHUNK_HEAD <= file.length;) {
    const id = latin1(file, at, at + 4)
    const size = file.readUInt32LE(at + 4)
    const body = file.subarray(at + CHUNK_HEAD, at + CHUNK_HEAD + size)
    if (id === 'fmt ') format = readFormat(body)
    if (id === 'ds64' && body.length >= 16) longSize = Number(body.readBigUInt64LE(8))
    if (id === 'data') {
      if (format === undefined) throw new ERR_AUDIO_FILE('the WAV has samples before its format')
      return framesOf(file.subarray(at + CHUNK_HEAD), dataSize(size, longSize), format)
    }
    at += CHUNK_HEAD + size + (size % 2)
  }
  throw new ERR_AUDIO_FILE('the WAV has no samples')
}

// Returns the bytes of samples. The header of a streamed file says 0 or 4 GiB: its samples go on to the end.
function dataSize(size: number, longSize: number | undefined): number {
  if (size !== 0 && size !== UNKNOWN_SIZE) return size
  return longSize === undefined || longSize === 0 ? Infinity : longSize
}

function framesOf(data: Buffer, size: number, { code, channels, bits, sampleRate }: Format): Frames {
  const { decode, sampleBytes } = decoderOf(code, bits)
  const frameBytes = channels * sampleBytes
  return {
    sampleRate,
    frameBytes,
    length: Math.floor(Math.min(size, data.length) / frameBytes),
    read: (from, to) => toMono(decode(data.subarray(from * frameBytes, to * frameBytes)), channels)
  }
}

function readFormat(body: Buffer): Format {
  if (body.length < 16) throw new ERR_AUDIO_FILE("the WAV's format is cut off")
  const code = body.readUInt16LE(0)
  const format = {
    code: code === EXTENSIBLE && body.length >= 26 ? body.readUInt16LE(24) : code,
    channels: body.readUInt16LE(2),
    sampleRate: body.readUInt32LE(4),
    bits: body.readUInt16LE(14)
  }
  if (format.channels < 1) throw new ERR_AUDIO_FILE('the WAV has no channels')
  if (format.sampleRate < MIN_RATE || format.sampleRate > MAX_RATE) {
    throw new ERR_AUDIO_FILE(
      `the WAV's sample rate is ${format.sampleRate} Hz; ${MIN_RATE} to ${MAX_RATE} can be played`
    )
  }
  return format
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

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to))
}
