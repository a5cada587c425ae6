/** Bytes of one sample: s16le. */
export const SAMPLE_BYTES = 2
/** us -> jambonz: a sample of this value is a mark to the module while any mark waits. */
export const MARK_SAMPLE = -1

/** The neighbour of the mark's sample: nobody hears the difference. Low byte of -2. */
const SUBSTITUTE_LOW_BYTE = 0xfe

/** The samples of L16 bytes, without a copy where memory alignment allows. */
export function samplesOf(pcm: Buffer): Int16Array {
  const aligned = pcm.byteOffset % SAMPLE_BYTES === 0 ? pcm : Buffer.from(new Uint8Array(pcm).buffer)
  return new Int16Array(aligned.buffer, aligned.byteOffset, Math.floor(aligned.length / SAMPLE_BYTES))
}

/** The bytes of samples, without a copy. */
export function bytesOf(samples: Int16Array): Buffer {
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
}

/** Returns true if L16 audio has a sample that jambonz would take for a mark. */
export function hasMarkSample(pcm: Buffer): boolean {
  return samplesOf(pcm).includes(MARK_SAMPLE)
}

/** The same audio without samples that jambonz would take for a mark; a copy only where there are some. */
export function withoutMarkSamples(pcm: Buffer): Buffer {
  const samples = samplesOf(pcm)
  let at = samples.indexOf(MARK_SAMPLE)
  if (at < 0) return pcm
  const copy = Buffer.from(pcm)
  for (; at >= 0; at = samples.indexOf(MARK_SAMPLE, at + 1)) copy[at * SAMPLE_BYTES] = SUBSTITUTE_LOW_BYTE
  return copy
}

export function silenceOf(samples: number): Buffer {
  return Buffer.alloc(samples * SAMPLE_BYTES)
}

const LOWEST = -32_768
const HIGHEST = 32_767

/** Adds `heard` to the last channel of interleaved samples; what is too loud for 16 bits is cut off. */
export function addHeard(samples: Int16Array, heard: Int16Array, channels: number): void {
  for (let i = 0, at = channels - 1; i < heard.length; i++, at += channels) {
    const sum = (samples[at] ?? 0) + (heard[i] ?? 0)
    samples[at] = sum < LOWEST ? LOWEST : sum > HIGHEST ? HIGHEST : sum
  }
}
