// ITU-T G.711 A-law: 8 bits for 13, logarithmic. Telephony outside North America and Japan uses it.
const SIGN = 0x80
const EVEN_BITS = 0x55

const DECODED = Int16Array.from({ length: 256 }, (_, code) => decodeOne(code))

export function decodeAlaw(bytes: Uint8Array): Int16Array {
  const samples = new Int16Array(bytes.length)
  for (let i = 0; i < bytes.length; i++) samples[i] = DECODED[bytes[i] ?? 0] ?? 0
  return samples
}

function decodeOne(code: number): number {
  const bits = code ^ EVEN_BITS
  const exponent = (bits & 0x70) >> 4
  const mantissa = ((bits & 0x0f) << 4) + 8
  const magnitude = exponent === 0 ? mantissa : (mantissa + 0x100) << (exponent - 1)
  return bits & SIGN ? magnitude : -magnitude
}
