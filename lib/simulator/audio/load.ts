import { readFileSync } from 'node:fs'
import { reasonOf, SIM_AUDIO } from '../errors.js'
import { samplesOf } from './pcm.js'
import { resample } from './resampler.js'
import { parseWav, type Sound } from './wav.js'

/** Audio as a user gives it: the path of a WAV, its bytes, raw L16 mono samples, or silence. */
export type Speech = string | URL | Buffer | { pcm: Buffer | Int16Array, sampleRate: number } | { silenceMs: number }

/** Samples at `sampleRate` Hz. Raises FST_JAMBONZ_SIM_AUDIO when the file is missing or is no 16-bit PCM WAV. */
export function loadSpeech (speech: Speech, sampleRate: number): Int16Array {
  if (typeof speech === 'object' && 'silenceMs' in speech) {
    return new Int16Array(Math.round(speech.silenceMs * sampleRate / 1000))
  }
  const { samples, sampleRate: rate } = decode(speech)
  return resample(samples, rate, sampleRate)
}

function decode (speech: Exclude<Speech, { silenceMs: number }>): Sound {
  if (typeof speech === 'string' || speech instanceof URL) {
    return parseWav(readSpeechFile(speech))
  }
  if (Buffer.isBuffer(speech)) return parseWav(speech)
  if (!Number.isInteger(speech.sampleRate) || speech.sampleRate <= 0) {
    throw new SIM_AUDIO(`sampleRate ${String(speech.sampleRate)} of raw samples must be a whole number of Hz`)
  }
  const samples = speech.pcm instanceof Int16Array ? speech.pcm : samplesOf(speech.pcm)
  return { samples, sampleRate: speech.sampleRate }
}

function readSpeechFile (path: string | URL): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new SIM_AUDIO(`${String(path)} can't be read (${reasonOf(error)})`)
  }
}
