import { ERR_AUDIO_FILE, isNotInstalled } from '../model/errors.js'
import { FULL_SCALE, SAMPLE_BYTES, toSample } from './samples.js'
import type { Frames } from './readWav.js'

/** Audio as `mpg123-decoder` decodes it. */
interface Decoded {
  channelData: Float32Array[]
  samplesDecoded: number
  /** Hz */
  sampleRate: number
}

/** bytes that are decoded in one turn: 128 ms at 64 kbit/s, which take about 1 ms */
const PART = 1_024
const HINT =
  'pass a WAV or raw L16: ask the speech service for it, or convert it (ffmpeg -i in -ac 1 -ar 16000 out.wav)'

export interface Mp3Work {
  maxSeconds: number
  /** Resolves when the next small part of the work may be done. */
  nextTurn: () => Promise<void>
  /** Returns true when nobody needs the file any more. */
  isDropped: () => boolean
}

/**
 * Resolves to the samples of MPEG audio (MP1 to MP3), mono. Resolves to undefined if the file was dropped in
 * the meantime. The audio is decoded by the package `mpg123-decoder`, if the application has installed it.
 * Rejects with FST_JAMBONZ_AUDIO_FILE.
 */
export async function decodeMp3(
  file: Uint8Array,
  { maxSeconds, nextTurn, isDropped }: Mp3Work
): Promise<Frames | undefined> {
  const { MPEGDecoder } = await loadPackage()
  const decoder = new MPEGDecoder()
  const parts: Int16Array[] = []
  let length = 0
  let sampleRate = 0
  await decoder.ready
  try {
    for (let at = 0; at < file.length; at += PART) {
      await nextTurn()
      if (isDropped()) return undefined
      const decoded = decoder.decode(file.subarray(at, at + PART))
      if (decoded.samplesDecoded === 0) continue
      sampleRate = decoded.sampleRate
      length += decoded.samplesDecoded
      if (length / sampleRate > maxSeconds) {
        throw new ERR_AUDIO_FILE(
          `the MP3 is longer than the ${maxSeconds} s of one file; play it in parts with queue: true`
        )
      }
      parts.push(toMono(decoded))
    }
  } finally {
    decoder.free()
  }
  if (length === 0) throw new ERR_AUDIO_FILE(`it is MP3 that can't be decoded; ${HINT}`)
  const samples = new Int16Array(length)
  let end = 0
  for (const part of parts) {
    samples.set(part, end)
    end += part.length
  }
  return { sampleRate, length, frameBytes: SAMPLE_BYTES, read: (from, to) => samples.subarray(from, to) }
}

function toMono({ channelData, samplesDecoded }: Decoded): Int16Array {
  const [left = new Float32Array(0), right = left] = channelData
  const mono = new Int16Array(samplesDecoded)
  for (let i = 0; i < mono.length; i++) {
    const value = ((left[i] ?? 0) + (right[i] ?? 0)) / 2
    mono[i] = toSample(value * FULL_SCALE)
  }
  return mono
}

async function loadPackage(): Promise<typeof import('mpg123-decoder')> {
  try {
    return await import('mpg123-decoder')
  } catch (err) {
    if (!isNotInstalled(err)) throw err
    throw new ERR_AUDIO_FILE(
      `it is MP3, and the package that decodes it is not installed (npm install mpg123-decoder); ${HINT}`
    )
  }
}
