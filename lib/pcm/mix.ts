const LOWEST = -32_768
const HIGHEST = 32_767

/** Adds `heard` to the last channel of interleaved samples; what is too loud for 16 bits is cut off. */
export function addHeard(samples: Int16Array, heard: Int16Array, channels: number): void {
  for (let i = 0, at = channels - 1; i < heard.length; i++, at += channels) {
    const sum = (samples[at] ?? 0) + (heard[i] ?? 0)
    samples[at] = sum < LOWEST ? LOWEST : sum > HIGHEST ? HIGHEST : sum
  }
}
