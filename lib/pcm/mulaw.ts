// ITU-T G.711 mu-law: 8 bits for 14, logarithmic. Twilio's Media Streams speak it at 8 kHz.
const BIAS = 0x84
const CLIP = 32_635
const SIGN = 0x80

const DECODED = Int16Array.from({ length: 256 }, (_, code) => decodeOne(code))

/** One byte for each sample. */
export function encodeMulaw(samples: Int16Array): Buffer {
  const bytes = Buffer.allocUnsafe(samples.length)
  for (let i = 0; i < samples.length; i++) bytes[i] = encodeOne(samples[i] ?? 0)
  return bytes
}

export function decodeMulaw(bytes: Uint8Array): Int16Array {
  const samples = new Int16Array(bytes.length)
  for (let i = 0; i < bytes.length; i++) samples[i] = DECODED[bytes[i] ?? 0] ?? 0
  return samples
}

function encodeOne(sample: number): number {
  // To 14 bits first, rounded, as sox does.
  const rounded = ((sample + 2) >> 2) << 2
  const sign = rounded < 0 ? SIGN : 0
  const magnitude = Math.min(Math.abs(rounded), CLIP) + BIAS
  const exponent = 24 - Math.clz32(magnitude)
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f
  return ~(sign | (exponent << 4) | mantissa) & 0xff
}

function decodeOne(code: number): number {
  const bits = ~code & 0xff
  const magnitude = ((((bits & 0x0f) << 3) + BIAS) << ((bits & 0x70) >> 4)) - BIAS
  return bits & SIGN ? -magnitude : magnitude
}
