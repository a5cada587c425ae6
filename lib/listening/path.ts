import { timingSafeEqual } from 'node:crypto'
import type { Hmac } from '../model/Hmac.js'
import type { Credentials } from '../verbs/index.js'

// 132 bits: short enough for jambonz' url limits, long enough not to be guessed.
const SIGNATURE_CHARACTERS = 22

/**
 * The last segment of a listen's socket path: `<id>.<signature>`. The signature covers the audio route too, so a
 * path given out for one route opens no other; and, where the verb has some of its own, the credentials it is opened with.
 */
export function signToken(secret: Hmac, path: string, listenId: string, own?: Credentials): string {
  return `${listenId}.${signature(secret, path, listenId, own)}`
}

/** The listen id of a token that we signed for this route and these credentials, else undefined. Constant time. */
export function verifyToken(
  secret: Hmac,
  path: string,
  token: string,
  own?: Credentials
): string | undefined {
  const dot = token.lastIndexOf('.')
  const listenId = token.slice(0, dot)
  const given = Buffer.from(token.slice(dot + 1))
  const expected = Buffer.from(signature(secret, path, listenId, own))
  return dot > 0 && given.length === expected.length && timingSafeEqual(given, expected)
    ? listenId
    : undefined
}

function signature(secret: Hmac, path: string, listenId: string, own: Credentials | undefined): string {
  const credentials = own === undefined ? '' : `\n${JSON.stringify([own.username, own.password])}`
  return secret
    .digest('base64url', `audio\n${path}\n${listenId}${credentials}`)
    .slice(0, SIGNATURE_CHARACTERS)
}
