import { readFileSync } from 'node:fs'
import { types } from 'node:util'
import { reasonOf, SIM_AUDIO } from '../errors.js'
import { concat, samplesOf } from './pcm.js'
import { resample } from './resampler.js'
import { parseWav, type Sound } from './wav.js'

type Piece = string | URL | Buffer | { pcm: Buffer | Int16Array; sampleRate: number }

/** Audio as an option: the path of a WAV, its bytes, raw L16 mono samples, silence, or a list of these. */
export type Speech = Piece | { silenceMs: number } | readonly Speech[]

/**
 * Returns samples at `sampleRate` Hz. Throws FST_JAMBONZ_SIM_AUDIO for a missing file, and for a file that is not a
 * 16-bit PCM WAV.
 */
export function loadSpeech(speech: Speech, sampleRate: number): Int16Array {
  if (isList(speech)) return concat(speech.map((part) => loadSpeech(part, sampleRate)))
  if (typeof speech === 'object' && 'silenceMs' in speech) {
    return new Int16Array(Math.round((speech.silenceMs * sampleRate) / 1000))
  }
  const { samples, sampleRate: rate } = decode(speech)
  return resample(samples, rate, sampleRate)
}

// Array.isArray() does not narrow a readonly array.
function isList(speech: Speech): speech is readonly Speech[] {
  return Array.isArray(speech)
}

function decode(speech: Piece): Sound {
  if (typeof speech === 'string' || speech instanceof URL) {
    return parseWav(readSpeechFile(speech), String(speech))
  }
  if (Buffer.isBuffer(speech)) return parseWav(speech)
  if (!Number.isInteger(speech.sampleRate) || speech.sampleRate <= 0) {
    throw new SIM_AUDIO(`sampleRate ${String(speech.sampleRate)} of raw samples must be a whole number of Hz`)
  }
  const samples = types.isInt16Array(speech.pcm) ? speech.pcm : samplesOf(speech.pcm)
  return { samples, sampleRate: speech.sampleRate }
}

function readSpeechFile(path: string | URL): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new SIM_AUDIO(`${String(path)} can't be read as a WAV file (${reasonOf(error)})`)
  }
}
