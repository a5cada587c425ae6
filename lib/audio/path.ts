import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto'
import type { Credentials } from '../verbs/index.js'

// 128 bits: short enough for jambonz' url limits, long enough not to be guessed.
const SIGNATURE_BYTES = 16

/**
 * The last segment of a listen's socket path: `<id>.<signature>`. The signature covers the audio route too, so a
 * path given out for one route opens no other; and, where the verb has some of its own, the credentials it is opened with.
 */
export function signToken (secret: KeyObject, path: string, listenId: string, own?: Credentials): string {
  return `${listenId}.${signature(secret, path, listenId, own).toString('base64url')}`
}

/** The listen id of a token that we signed for this route and these credentials, else undefined. Constant time. */
export function verifyToken (secret: KeyObject, path: string, token: string, own?: Credentials): string | undefined {
  const dot = token.lastIndexOf('.')
  const listenId = token.slice(0, dot)
  const given = Buffer.from(token.slice(dot + 1), 'base64url')
  const expected = signature(secret, path, listenId, own)
  return dot > 0 && given.length === expected.length && timingSafeEqual(given, expected) ? listenId : undefined
}

function signature (secret: KeyObject, path: string, listenId: string, own: Credentials | undefined): Buffer {
  const credentials = own === undefined ? '' : `\n${JSON.stringify([own.username, own.password])}`
  return createHmac('sha256', secret).update(`audio\n${path}\n${listenId}${credentials}`).digest().subarray(0, SIGNATURE_BYTES)
}
