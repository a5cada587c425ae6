import { ERR_AUDIO_FILE } from '../model/errors.js'
import { decodeMulaw } from './mulaw.js'
import { samplesOf } from './samples.js'

/** Mono samples at `sampleRate` Hz. */
export interface Sound {
  samples: Int16Array
  sampleRate: number
}

interface Format {
  code: number
  channels: number
  sampleRate: number
  bits: number
}

const PCM = 1
const FLOAT = 3
const MULAW = 7
const EXTENSIBLE = 0xfffe
const HEADER = 12
const CHUNK_HEAD = 8
const MIN_RATE = 4_000
const MAX_RATE = 384_000

export function isWav(audio: Uint8Array): boolean {
  return audio.length >= HEADER && latin1(audio, 0, 4) === 'RIFF' && latin1(audio, 8, 12) === 'WAVE'
}

/** Reads a WAV of PCM (8 to 32 bits), float or mu-law, any rate; more channels are mixed to one. Raises FST_JAMBONZ_AUDIO_FILE. */
export function readWav(wav: Uint8Array): Sound {
  const file = Buffer.from(wav.buffer, wav.byteOffset, wav.byteLength)
  let format: Format | undefined
  for (let at = HEADER; at + CHUNK_HEAD <= file.length;) {
    const id = latin1(file, at, at + 4)
    const size = file.readUInt32LE(at + 4)
    // A file that was streamed says 0 or 4 GiB: its samples go on to its end.
    const body = file.subarray(
      at + CHUNK_HEAD,
      id === 'data' && size === 0 ? undefined : at + CHUNK_HEAD + size
    )
    if (id === 'fmt ') format = readFormat(body)
    if (id === 'data') {
      if (format === undefined) throw new ERR_AUDIO_FILE('the WAV has samples before its format')
      return { samples: toMono(decode(body, format), format.channels), sampleRate: format.sampleRate }
    }
    at += CHUNK_HEAD + size + (size % 2)
  }
  throw new ERR_AUDIO_FILE('the WAV has no samples')
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

function decode(body: Buffer, { code, bits }: Format): Int16Array {
  if (code === PCM && bits === 16) return samplesOf(body)
  if (code === MULAW && bits === 8) return decodeMulaw(body)
  if (code === PCM && bits === 8) return Int16Array.from(body, (byte) => (byte - 128) << 8)
  if (code === PCM && (bits === 24 || bits === 32)) {
    const bytes = bits / 8
    return Int16Array.from({ length: Math.floor(body.length / bytes) }, (_, i) =>
      body.readInt16LE(i * bytes + bytes - 2)
    )
  }
  if (code === FLOAT && bits === 32) {
    return Int16Array.from({ length: Math.floor(body.length / 4) }, (_, i) =>
      Math.max(-32_768, Math.min(32_767, Math.round(body.readFloatLE(i * 4) * 32_768)))
    )
  }
  throw new ERR_AUDIO_FILE(
    `the WAV is of format ${code} with ${bits} bits; convert it first (sox in.wav -e signed-integer -b 16 out.wav)`
  )
}

function toMono(samples: Int16Array, channels: number): Int16Array {
  if (channels === 1) return samples
  return Int16Array.from({ length: Math.floor(samples.length / channels) }, (_, i) => {
    let sum = 0
    for (let channel = 0; channel < channels; channel++) sum += samples[i * channels + channel] ?? 0
    return Math.round(sum / channels)
  })
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to))
}
