import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import { ERR_CALL_SID } from './errors.js'

/** HMAC-SHA256 (RFC 2104) with one key, which shows in no log. */
export class Hmac {
  readonly #key: Buffer

  constructor(key: string | Buffer) {
    this.#key = Buffer.from(key)
  }

  /** Returns the HMAC of `text` in UTF-8, followed by `rest`. */
  digest(encoding: 'hex' | 'base64url', text: string, rest?: Buffer): string {
    const hmac = createHmac('sha256', this.#key).update(text)
    if (rest !== undefined) hmac.update(rest)
    return hmac.digest(encoding)
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const LISTEN_ID = /^(?:([0-9a-f]{32})|x((?:[0-9a-f]{2}){1,128}))-[0-9a-f]{16}$/
const DIGEST_HEX = 16

/** Longest callSid, in bytes, that an id can carry; jambonz' own are UUIDs. */
export const MAX_CALL_SID_BYTES = 128

/**
 * Returns an id that names its call: `<callSid>-<digest>`, lower-case hexadecimal (safe in urls and on file systems
 * that ignore case). So a socket's path or a hook's `?listen=` gives its call without an index or a store. The same
 * `seed` gives the same id: a request that jambonz retries is answered with the same listens. The digest is keyed:
 * ids can't be guessed.
 */
export function createListenId(secret: Hmac, callSid: string, seed: string): string {
  const name = UUID.test(callSid) ? callSid.replaceAll('-', '') : `x${Buffer.from(callSid).toString('hex')}`
  const digest = secret.digest('hex', `listen\n${callSid}\n${seed}`)
  return `${name}-${digest.slice(0, DIGEST_HEX)}`
}

/** Returns the callSid in a listen id; undefined if it is no id of ours. */
export function callSidOf(listenId: string): string | undefined {
  const [, uuid, other] = LISTEN_ID.exec(listenId) ?? []
  if (uuid !== undefined) return uuid.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  return other === undefined ? undefined : Buffer.from(other, 'hex').toString()
}

/** Throws FST_JAMBONZ_CALL_SID where an id of a listen can't carry the callSid. */
export function checkCallSid(callSid: string): void {
  const bytes = Buffer.byteLength(callSid)
  if (bytes === 0 || bytes > MAX_CALL_SID_BYTES) throw new ERR_CALL_SID(MAX_CALL_SID_BYTES)
}

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
  /**
   * how the listen's audio was private when its last socket was handed over: the next one begins so, also where the
   * store has lost it
   */
  paused: 'silence' | 'skip' | false
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

// 22 characters together so that urls stay short: 30 bits say when and what, 18 who, 84 sign it, which nobody guesses over a
// network.
const TIME_CHARACTERS = 5
const ISSUER_CHARACTERS = 3
const STAMP_CHARACTERS = TIME_CHARACTERS + ISSUER_CHARACTERS
const SIGNATURE_CHARACTERS = 14
/** ms: one unit of the stamp's time, 34 years of which fit into 27 bits */
const STAMP_UNIT = 8_000
const STAMP_EPOCH = Date.UTC(2025, 0, 1)
const MAX_STAMP = 2 ** 27 - 1
/** The two bits that say how the listen is private; what none of them means is taken for a pause. */
const PAUSES = [false, 'silence', 'skip'] as const
const PAUSE_BITS = 4
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

function stampOf({ issuedAt, unknown, paused, issuer }: SocketToken): string {
  const units = Math.floor((issuedAt - STAMP_EPOCH) / STAMP_UNIT)
  let bits =
    (Math.min(Math.max(units, 0), MAX_STAMP) * PAUSE_BITS + PAUSES.indexOf(paused)) * 2 + Number(unknown)
  let stamp = ''
  for (let i = 0; i < TIME_CHARACTERS; i++) {
    stamp = `${ALPHABET[bits % ALPHABET.length]}${stamp}`
    bits = Math.floor(bits / ALPHABET.length)
  }
  return stamp + issuer
}

function readStamp(stamp: string): Omit<SocketToken, 'path' | 'listenId'> {
  let bits = 0
  for (const character of stamp.slice(0, TIME_CHARACTERS)) {
    bits = bits * ALPHABET.length + ALPHABET.indexOf(character)
  }
  const pause = Math.floor(bits / 2) % PAUSE_BITS
  return {
    issuedAt: STAMP_EPOCH + Math.floor(bits / 2 / PAUSE_BITS) * STAMP_UNIT,
    unknown: bits % 2 === 1,
    paused: PAUSES[pause] ?? 'silence',
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
