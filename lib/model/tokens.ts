import { hash, timingSafeEqual } from 'node:crypto'
import type { Hmac } from './Hmac.js'

// What opens a listen's socket or runs its hook for whoever has it. Signed with the option `secret`, and stands nowhere
// but in the answer to jambonz: the store keeps verbs without it, and logs name the listen's id instead.

/** The fields that a path signs: they must match for it to open its socket. */
export interface SocketToken {
  /** whole path of the audio route: a path given out for one route opens no other */
  path: string
  listenId: string
  /** ms since the epoch: when the verb was answered */
  issuedAt: number
  /**
   * true where other instances may know nothing of the listen: each has a store of its own, or the one they share was
   * away when the verb was answered
   */
  unknown: boolean
  /** tag of the instance that answered: see `issuerTag` */
  issuer: string
}

/** The credentials of a verb that has its own; jambonz opens the socket with them. */
export interface OwnCredentials {
  username: string
  password: string
}

/**
 * ms from the answer that a signed path opens its socket. A listen may stand behind a `dial` or an `enqueue` that lasts
 * hours; six are more than any of them should.
 */
export const SOCKET_TOKEN_TTL = 6 * 3_600_000

// 22 characters together so that urls stay short: 30 bits say when, 18 who, 84 sign it, which nobody guesses over a network.
const TIME_CHARACTERS = 5
const ISSUER_CHARACTERS = 3
const STAMP_CHARACTERS = TIME_CHARACTERS + ISSUER_CHARACTERS
const SIGNATURE_CHARACTERS = 14
/** ms: one unit of the stamp's time, 34 years of which fit into 29 bits */
const STAMP_UNIT = 2_000
const STAMP_EPOCH = Date.UTC(2025, 0, 1)
const MAX_STAMP = 2 ** 29 - 1
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const HOOK_KEY_CHARACTERS = 22

/** Returns the tag by which an instance knows the paths that it has given out itself. */
export function issuerTag(instance: string): string {
  return hash('sha256', instance, 'base64url').slice(0, ISSUER_CHARACTERS)
}

/** Returns the last segment of a listen's socket path: `<id>.<when it was answered><by whom><signature>`. */
export function signSocketToken(secret: Hmac, token: SocketToken, own?: OwnCredentials): string {
  const stamp = stampOf(token)
  return `${token.listenId}.${stamp}${signature(secret, token.path, token.listenId, stamp, own)}`
}

/**
 * Returns what the last segment of a socket path says where we signed it for this route and these credentials, else
 * undefined. Constant time. It may have expired: see `hasExpired`.
 */
export function readSocketToken(
  secret: Hmac,
  path: string,
  text: string,
  own?: OwnCredentials
): SocketToken | undefined {
  const dot = text.lastIndexOf('.')
  if (dot <= 0) return undefined
  const listenId = text.slice(0, dot)
  const stamp = text.slice(dot + 1, dot + 1 + STAMP_CHARACTERS)
  const given = Buffer.from(text.slice(dot + 1 + STAMP_CHARACTERS))
  const expected = Buffer.from(signature(secret, path, listenId, stamp, own))
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined
  return { path, listenId, ...readStamp(stamp) }
}

/** True for a path that was given out too long ago to open a socket. */
export function hasExpired({ issuedAt }: SocketToken, now = Date.now()): boolean {
  return now - issuedAt > SOCKET_TOKEN_TTL
}

/**
 * Returns what a GET hook of the listen is known by: it carries no payload that a signature could cover, and the
 * listen's id, which names files and stands in logs, is no secret.
 */
export function signHookKey(secret: Hmac, listenId: string): string {
  return secret.digest('base64url', `hook\n${listenId}`).slice(0, HOOK_KEY_CHARACTERS)
}

/** True for the key of the listen's GET hook. Constant time. */
export function isHookKey(secret: Hmac, listenId: string, key: string): boolean {
  const given = Buffer.from(key)
  const expected = Buffer.from(signHookKey(secret, listenId))
  return given.length === expected.length && timingSafeEqual(given, expected)
}

function stampOf({ issuedAt, unknown, issuer }: SocketToken): string {
  const units = Math.floor((issuedAt - STAMP_EPOCH) / STAMP_UNIT)
  let bits = Math.min(Math.max(units, 0), MAX_STAMP) * 2 + Number(unknown)
  let stamp = ''
  for (let i = 0; i < TIME_CHARACTERS; i++) {
    stamp = `${ALPHABET[bits % ALPHABET.length]}${stamp}`
    bits = Math.floor(bits / ALPHABET.length)
  }
  return stamp + issuer
}

function readStamp(stamp: string): Pick<SocketToken, 'issuedAt' | 'unknown' | 'issuer'> {
  let bits = 0
  for (const character of stamp.slice(0, TIME_CHARACTERS)) {
    bits = bits * ALPHABET.length + ALPHABET.indexOf(character)
  }
  return {
    issuedAt: STAMP_EPOCH + Math.floor(bits / 2) * STAMP_UNIT,
    unknown: bits % 2 === 1,
    issuer: stamp.slice(TIME_CHARACTERS)
  }
}

function signature(
  secret: Hmac,
  path: string,
  listenId: string,
  stamp: string,
  own: OwnCredentials | undefined
): string {
  const credentials = own === undefined ? '' : `\n${JSON.stringify([own.username, own.password])}`
  return secret
    .digest('base64url', `audio\n${path}\n${listenId}\n${stamp}${credentials}`)
    .slice(0, SIGNATURE_CHARACTERS)
}
