import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto'

// 128 bits: short enough for jambonz' url limits, long enough not to be guessed.
const SIGNATURE_BYTES = 16

/**
 * The last segment of a listen's socket path: `<id>.<signature>`. The signature covers the audio route too, so a
 * path given out for one route opens no other.
 */
export function signToken (secret: KeyObject, path: string, listenId: string): string {
  return `${listenId}.${signature(secret, path, listenId).toString('base64url')}`
}

/** The listen id of a token that we signed for this route, else undefined. Constant time. */
export function verifyToken (secret: KeyObject, path: string, token: string): string | undefined {
  const dot = token.lastIndexOf('.')
  const listenId = token.slice(0, dot)
  const given = Buffer.from(token.slice(dot + 1), 'base64url')
  const expected = signature(secret, path, listenId)
  return dot > 0 && given.length === expected.length && timingSafeEqual(given, expected) ? listenId : undefined
}

function signature (secret: KeyObject, path: string, listenId: string): Buffer {
  return createHmac('sha256', secret).update(`audio\n${path}\n${listenId}`).digest().subarray(0, SIGNATURE_BYTES)
}
