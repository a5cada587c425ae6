/**
 * ms of each stretch of audio that `likeness()` compares (STRETCH), and maximum ms by which a stretch may be
 * shifted (MAX_SHIFT)
 */
const STRETCH = 300
const MAX_SHIFT = 100
/** minimum part of a stretch's samples that must be loud (above LOUD) for the stretch to count as speech */
const SPOKEN = 0.2
const LOUD = 300

export interface Likeness {
  /** correlation, from 0 (nothing in common) to 1 (equal): median of all stretches with speech */
  correlation: number
  /** ms by which the recording is late: median of the same stretches */
  delayMs: number
}

/** Returns the samples of each channel of a recording. `wav`: a WAV of 16-bit PCM. */
export function channelsOf(wav: Buffer): Int16Array[] {
  const count = wav.readUInt16LE(wav.indexOf('fmt ') + 10)
  // The bytes are copied, because an Int16Array must begin at an even offset.
  const { buffer } = new Uint8Array(wav.subarray(wav.indexOf('data') + 8))
  const samples = new Int16Array(buffer, 0, buffer.byteLength >> 1)
  return Array.from({ length: count }, (_, channel) => samples.filter((_, at) => at % count === channel))
}

/**
 * Compares a recording with the audio that was heard, in stretches of 300 ms. `heard` begins at sample `from`
 * of the recording.
 */
export function likeness(recorded: Int16Array, heard: Int16Array, from: number, rate: number): Likeness {
  const size = (STRETCH * rate) / 1000
  const shift = (MAX_SHIFT * rate) / 1000
  const stretches: Array<{ correlation: number; by: number }> = []
  for (let at = 0; at + size <= heard.length; at += size) {
    const stretch = heard.subarray(at, at + size)
    if (stretch.filter((sample) => Math.abs(sample) > LOUD).length < size * SPOKEN) continue
    let best = { correlation: 0, by: 0 }
    for (let by = -shift; by <= shift; by++) {
      const correlation = correlate(stretch, recorded, from + at + by)
      if (correlation > best.correlation) best = { correlation, by }
    }
    stretches.push(best)
  }
  return {
    correlation: middle(stretches.map(({ correlation }) => correlation)),
    delayMs: (middle(stretches.map(({ by }) => by)) / rate) * 1000
  }
}

function correlate(stretch: Int16Array, recorded: Int16Array, from: number): number {
  let both = 0
  let one = 0
  let other = 0
  for (const [index, a] of stretch.entries()) {
    const b = recorded[from + index] ?? 0
    both += a * b
    one += a * a
    other += b * b
  }
  return one > 0 && other > 0 ? both / Math.sqrt(one * other) : 0
}

function middle(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0
}
