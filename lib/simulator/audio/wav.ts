import { SIM_AUDIO } from '../errors.js'
import { samplesOf } from './pcm.js'

const HEADER_BYTES = 44
const FORMAT_PCM = 1
const FORMAT_EXTENSIBLE = 0xfffe

/** Mono 16-bit samples at `sampleRate` Hz. */
export interface Sound {
  samples: Int16Array
  sampleRate: number
}

/**
 * Reads the first channel of a 16-bit PCM WAV of any rate. Throws FST_JAMBONZ_SIM_AUDIO. `name`: the file, for the text
 * of the error.
 */
export function parseWav(wav: Buffer, name = 'the speech'): Sound {
  if (
    wav.length < 12 ||
    wav.toString('latin1', 0, 4) !== 'RIFF' ||
    wav.toString('latin1', 8, 12) !== 'WAVE'
  ) {
    throw new SIM_AUDIO(
      `${name} is not a WAV file (no RIFF/WAVE header): convert it (ffmpeg -i FILE -ac 1 -c:a pcm_s16le out.wav); raw samples go in as { pcm, sampleRate }`
    )
  }
  let format: { channels: number; sampleRate: number } | undefined
  for (let at = 12; at + 8 <= wav.length;) {
    const id = wav.toString('latin1', at, at + 4)
    const size = wav.readUInt32LE(at + 4)
    const body = wav.subarray(at + 8, Math.min(at + 8 + size, wav.length))
    if (id === 'fmt ') format = parseFormat(body, name)
    if (id === 'data') {
      if (format === undefined) throw new SIM_AUDIO(`${name} has samples before its format`)
      return { samples: firstChannel(samplesOf(body), format.channels), sampleRate: format.sampleRate }
    }
    at += 8 + size + (size % 2)
  }
  throw new SIM_AUDIO(`${name} has no samples (no data chunk)`)
}

/** Returns a WAV file of L16 mono bytes. */
export function wavOf(pcm: Buffer, sampleRate: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.write('RIFF', 0, 'latin1')
  header.writeUInt32LE(HEADER_BYTES - 8 + pcm.length, 4)
  header.write('WAVEfmt ', 8, 'latin1')
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(FORMAT_PCM, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(sampleRate, 24)
  header.writeUInt32LE(sampleRate * 2, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.write('data', 36, 'latin1')
  header.writeUInt32LE(pcm.length, 40)
  return Buffer.concat([header, pcm])
}

function parseFormat(body: Buffer, name: string): { channels: number; sampleRate: number } {
  if (body.length < 16) throw new SIM_AUDIO(`the format chunk of ${name} is cut off`)
  const code = body.readUInt16LE(0)
  const channels = body.readUInt16LE(2)
  const sampleRate = body.readUInt32LE(4)
  const bits = body.readUInt16LE(14)
  if ((code !== FORMAT_PCM && code !== FORMAT_EXTENSIBLE) || bits !== 16 || channels < 1) {
    throw new SIM_AUDIO(
      `${name} has format ${code} with ${bits} bits; convert it to 16-bit PCM (sox in.wav -e signed -b 16 out.wav)`
    )
  }
  return { channels, sampleRate }
}

function firstChannel(samples: Int16Array, channels: number): Int16Array {
  if (channels === 1) return samples
  const mono = new Int16Array(Math.floor(samples.length / channels))
  for (let i = 0; i < mono.length; i++) mono[i] = samples[i * channels]!
  return mono
}
