import type { Sound } from './wav.js'

const BEEP_LEVEL = 8_000
const SYLLABLE_SECONDS = 0.22
const VOWELS = [
  [730, 1090],
  [270, 2290],
  [570, 840],
  [440, 1020],
  [530, 1840]
] as const

/** Returns a sine of `ms` at `hz`. jambonz' beep is 500 ms of 1500 Hz (feature-server lib/tasks/listen.js). */
export function tone(ms: number, hz: number, sampleRate: number): Int16Array {
  const samples = new Int16Array(Math.round((ms * sampleRate) / 1000))
  for (let i = 0; i < samples.length; i++) {
    samples[i] = Math.round(BEEP_LEVEL * Math.sin((2 * Math.PI * hz * i) / sampleRate))
  }
  return samples
}

const voices = new Map<string, Int16Array>()

/**
 * Returns a signal with the rhythm, pitch and formants of speech, the same on every run. The caller says this signal if
 * no speech is given. The verbs say and play use it because the simulator has no speech synthesis. Callers share the
 * buffer, so do not write into it.
 */
export function speechLike(seconds: number, sampleRate: number, pitch = 120): Sound {
  const length = Math.round(seconds * sampleRate)
  const voice = `${sampleRate}/${pitch}`
  let samples = voices.get(voice)
  if (samples === undefined || samples.length < length) {
    samples = generate(length, sampleRate, pitch)
    voices.set(voice, samples)
  }
  return { samples: samples.subarray(0, length), sampleRate }
}

function generate(length: number, sampleRate: number, pitch: number): Int16Array {
  const samples = new Int16Array(length)
  let random = 12_345
  for (let i = 0; i < samples.length; i++) {
    const at = i / sampleRate
    const syllable = Math.floor(at / SYLLABLE_SECONDS)
    const within = at / SYLLABLE_SECONDS - syllable
    // Every sixth syllable is a pause between words.
    const envelope = syllable % 6 === 5 ? 0 : Math.sin(Math.PI * within) ** 1.5
    const [first, second] = VOWELS[syllable % VOWELS.length]!
    const glottal = 0.6 + 0.4 * Math.sin(2 * Math.PI * (pitch + 15 * Math.sin(at * 2.1)) * at)
    random = (random * 1_103_515_245 + 12_345) & 0x7fffffff
    const breath = (random / 0x7fffffff - 0.5) * 0.08
    const voiced = 0.65 * Math.sin(2 * Math.PI * first * at) + 0.3 * Math.sin(2 * Math.PI * second * at)
    samples[i] = Math.round(11_000 * envelope * (glottal * voiced + breath))
  }
  return samples
}
