// ITU-T G.711: one byte for each sample, logarithmic. The decoders read from a table of all 256 bytes.

const SIGN = 0x80
const CODES = 256

const MULAW_BIAS = 0x84
const MULAW_CLIP = 32_635
const ALAW_EVEN_BITS = 0x55

const MULAW = Int16Array.from({ length: CODES }, (_, code) => decodeMulawByte(code))
const ALAW = Int16Array.from({ length: CODES }, (_, code) => decodeAlawByte(code))

/** Encodes samples as mu-law, which Twilio's Media Streams carry at 8 kHz. */
export function encodeMulaw(samples: Int16Array): Buffer {
  const bytes = Buffer.allocUnsafe(samples.length)
  for (let i = 0; i < samples.length; i++) bytes[i] = encodeMulawSample(samples[i] ?? 0)
  return bytes
}

/** Decodes mu-law, which has 14 bits and is used in North America and Japan. */
export function decodeMulaw(bytes: Uint8Array): Int16Array {
  return decode(bytes, MULAW)
}

/** Decodes A-law, which has 13 bits and is used in the rest of the world. */
export function decodeAlaw(bytes: Uint8Array): Int16Array {
  return decode(bytes, ALAW)
}

function decode(bytes: Uint8Array, table: Int16Array): Int16Array {
  const samples = new Int16Array(bytes.length)
  for (let i = 0; i < bytes.length; i++) samples[i] = table[bytes[i] ?? 0] ?? 0
  return samples
}

function encodeMulawSample(sample: number): number {
  // The sample is rounded to 14 bits first, as in sox.
  const rounded = ((sample + 2) >> 2) << 2
  const sign = rounded < 0 ? SIGN : 0
  const magnitude = Math.min(Math.abs(rounded), MULAW_CLIP) + MULAW_BIAS
  const exponent = 24 - Math.clz32(magnitude)
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f
  return ~(sign | (exponent << 4) | mantissa) & 0xff
}

function decodeMulawByte(code: number): number {
  const bits = ~code & 0xff
  const magnitude = ((((bits & 0x0f) << 3) + MULAW_BIAS) << ((bits & 0x70) >> 4)) - MULAW_BIAS
  return bits & SIGN ? -magnitude : magnitude
}

function decodeAlawByte(code: number): number {
  const bits = code ^ ALAW_EVEN_BITS
  const exponent = (bits & 0x70) >> 4
  const mantissa = ((bits & 0x0f) << 4) + 8
  const magnitude = exponent === 0 ? mantissa : (mantissa + 0x100) << (exponent - 1)
  return bits & SIGN ? magnitude : -magnitude
}
