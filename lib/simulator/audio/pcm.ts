/**
 * Returns a copy of L16 bytes (little endian, mono) as samples. Drops an odd last byte. The bytes need no alignment.
 */
export function samplesOf(bytes: Uint8Array): Int16Array {
  const even = bytes.byteLength - (bytes.byteLength % 2)
  const copy = new Int16Array(even / 2)
  new Uint8Array(copy.buffer).set(bytes.subarray(0, even))
  return copy
}

/** Returns a view of samples as L16 bytes. */
export function bytesOf(samples: Int16Array): Buffer {
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
}

/** Adds `from` to `into`. Sums are limited to 16 bits, as in the media server. */
export function mix(into: Int16Array, from: Int16Array, length = Math.min(into.length, from.length)): void {
  for (let i = 0; i < length; i++) {
    const sum = into[i]! + from[i]!
    into[i] = sum > 32_767 ? 32_767 : sum < -32_768 ? -32_768 : sum
  }
}

/** Returns one buffer with the parts one after another. */
export function concat(parts: readonly Int16Array[]): Int16Array {
  const whole = new Int16Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Returns L0 R0 L1 R1 … */
export function interleave(left: Int16Array, right: Int16Array): Int16Array {
  const out = new Int16Array(left.length * 2)
  for (let i = 0; i < left.length; i++) {
    out[2 * i] = left[i]!
    out[2 * i + 1] = right[i]!
  }
  return out
}

/** Returns the magnitude of the loudest sample, 0 to 1. */
export function peakOf(samples: Int16Array): number {
  let peak = 0
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample))
  return peak / 32_768
}
