import { execFile } from 'node:child_process'
import { speechLike } from '../audio/generate.js'
import type { Speech } from '../audio/load.js'

const CHARACTERS_PER_SECOND = 15
const SYNTHESIS_TIMEOUT_MS = 30_000
const MAX_WAV = 64 * 1024 * 1024
const FALLBACK_RATE = 8_000

/**
 * Resolves to text as speech, by espeak-ng; if espeak-ng is not installed, to a speech-like signal as long as the text.
 */
export async function synthesise(
  text: string,
  program = 'espeak-ng'
): Promise<{ speech: Speech; real: boolean }> {
  const wav = await runSynthesiser(program, text)
  if (wav !== undefined) return { speech: wav, real: true }
  const { samples, sampleRate } = speechLike(Math.max(1, text.length / CHARACTERS_PER_SECOND), FALLBACK_RATE)
  return { speech: { pcm: samples, sampleRate }, real: false }
}

function runSynthesiser(program: string, text: string): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    execFile(
      program,
      ['--stdout', '--', text],
      { encoding: 'buffer', timeout: SYNTHESIS_TIMEOUT_MS, maxBuffer: MAX_WAV },
      (error, stdout) => {
        resolve(error === null && stdout.length > 0 ? stdout : undefined)
      }
    )
  })
}
