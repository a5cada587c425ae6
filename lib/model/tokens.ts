import { createCipheriv, createDecipheriv, createHash, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Credentials } from './credentials.js'
import { ERR_CALL_SID } from './errors.js'
import type { PauseMode } from './schema.js'
import { wallClock } from './time.js'

/** bytes of a block of SHA-256 */
const BLOCK = 64
const DIGEST = 32
/** maximum bytes of a message that is hashed at once; a webhook has one or two thousand */
const MAX_AT_ONCE = 8_192
/** The bytes with which the key is combined (XOR) for the inner and for the outer hash of an HMAC (RFC 2104). */
const INNER = 0x36
const OUTER = 0x5c
/** The byte with which the key is combined for a name, so that no name is a part of an HMAC. */
const NAME = 0x69
/** maximum bytes of one UTF-16 unit in UTF-8 */
const MAX_UTF8_BYTES = 3

/**
 * HMAC-SHA256 (RFC 2104) with one key, which logs never show. It hashes a short message with two calls of
 * `crypto.hash()`, since `crypto.createHmac()` takes twice as long, and burdens the garbage collector with
 * objects.
 */
export class Hmac {
  /** the key combined with INNER, with OUTER and with NAME, each followed by room for a message */
  readonly #inner = Buffer.alloc(BLOCK + MAX_AT_ONCE)
  readonly #outer = Buffer.alloc(BLOCK + DIGEST)
  readonly #name = Buffer.alloc(BLOCK + MAX_AT_ONCE)

  constructor(key: string | Buffer) {
    const bytes = Buffer.from(key)
    const block = Buffer.alloc(BLOCK)
    block.set(bytes.length > BLOCK ? hash('sha256', bytes, 'buffer') : bytes)
    block.forEach((byte, at) => {
      this.#inner[at] = byte ^ INNER
      this.#outer[at] = byte ^ OUTER
      this.#name[at] = byte ^ NAME
    })
  }

  /** Returns the HMAC of `text` in UTF-8, followed by `rest`. */
  digest(encoding: 'hex' | 'base64url', text: string, rest?: Buffer): string {
    // The inner hash is copied as text of one byte a character, which costs less than a Buffer.
    this.#outer.write(hashAfter(this.#inner, 'binary', text, rest), BLOCK, 'latin1')
    return hash('sha256', this.#outer, encoding)
  }

  /**
   * Returns a name of `text` and `rest`, in hexadecimal, that nobody can guess without the key. Takes half the time of
   * `digest()`, but does not authenticate the text; a signature needs `digest()`.
   */
  name(text: string, rest?: Buffer): string {
    return hashAfter(this.#name, 'hex', text, rest)
  }
}

/** Returns the SHA-256 of the first BLOCK of `room`, `text` in UTF-8, and `rest`. Overwrites the rest of `room`. */
function hashAfter(room: Buffer, encoding: 'hex' | 'binary', text: string, rest: Buffer | undefined): string {
  const restBytes = rest?.length ?? 0
  if (text.length * MAX_UTF8_BYTES + restBytes > MAX_AT_ONCE) {
    return createHash('sha256')
      .update(room.subarray(0, BLOCK))
      .update(text)
      .update(rest ?? '')
      .digest(encoding)
  }
  const end = BLOCK + room.write(text, BLOCK)
  if (rest !== undefined) room.set(rest, end)
  return hash('sha256', room.subarray(0, end + restBytes), encoding)
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const LISTEN_ID = /^(?:([0-9a-f]{32})|x((?:[0-9a-f]{2}){1,128}))-[0-9a-f]{16}$/
const DIGEST_HEX = 16

/** Bytes of the longest callSid that an id can hold. jambonz' own are UUIDs. */
export const MAX_CALL_SID_BYTES = 128

/**
 * Returns the id of a listen: `<callSid>-<digest>`, in lower-case hexadecimal, which is safe in urls and on
 * file systems that ignore case. The id contains the callSid, so that the path of a socket, or the `?listen=`
 * of a hook, leads to the call without an index. The same `seed` and `rest` give the same id, so that a repeated
 * request is answered with the same listens. The digest is keyed, so that nobody can guess ids.
 */
export function createListenId(secret: Hmac, callSid: string, seed: string, rest?: Buffer): string {
  const name = UUID.test(callSid) ? withoutDashes(callSid) : `x${Buffer.from(callSid).toString('hex')}`
  const digest = secret.name(`listen\n${callSid}\n${seed}\n`, rest)
  return `${name}-${digest.slice(0, DIGEST_HEX)}`
}

/** Removes the dashes of a UUID, in a third of the time of `replaceAll()`. */
function withoutDashes(uuid: string): string {
  return uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(14, 18) + uuid.slice(19, 23) + uuid.slice(24)
}

/** Returns the callSid in a listen id; undefined if it is no id of ours. */
export function callSidOf(listenId: string): string | undefined {
  const [, uuid, other] = LISTEN_ID.exec(listenId) ?? []
  if (uuid !== undefined) return uuid.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  return other === undefined ? undefined : Buffer.from(other, 'hex').toString()
}

/** Throws FST_JAMBONZ_CALL_SID if a listen id can't hold the callSid. */
export function checkCallSid(callSid: string): void {
  const bytes = Buffer.byteLength(callSid)
  if (bytes === 0 || bytes > MAX_CALL_SID_BYTES) throw new ERR_CALL_SID(MAX_CALL_SID_BYTES)
}

// Tokens that open a listen's socket, or run its hook, for anybody who has them. They are signed with the
// option `secret` and stand only in the answer to jambonz. The store keeps verbs without them, and logs have
// the listen's id instead.

/** The fields that a path signs. */
export interface SocketToken {
  /** whole path of the audio route; the token opens no other route */
  path: string
  listenId: string
  /** ms since the epoch at which the verb was answered */
  issuedAt: number
  /**
   * true if other instances may not know the listen, because each has a store of its own, or because the
   * shared store was away when the verb was answered
   */
  unknown: boolean
  /**
   * the pause of the listen at its last handover; the next socket begins with this pause, even if the store
   * has lost it
   */
  paused: PauseMode | false
  /** tag of the instance that answered the verb: see `issuerTag` */
  issuer: string
}

/**
 * ms after the answer for which the signed path of a socket is valid. A `dial` or an `enqueue` before the listen may
 * last hours.
 */
export const SOCKET_TOKEN_TTL = 6 * 3_600_000

// The part after the id has 22 characters, so that urls stay short: 30 bits of time and flags, 18 bits of the
// issuer, 84 bits of signature.
const TIME_CHARACTERS = 5
const ISSUER_CHARACTERS = 3
const STAMP_CHARACTERS = TIME_CHARACTERS + ISSUER_CHARACTERS
const SIGNATURE_CHARACTERS = 14
/** ms of one unit of the time, so that 27 bits hold 34 years */
const STAMP_UNIT = 8_000
const STAMP_EPOCH = Date.UTC(2025, 0, 1)
const MAX_STAMP = 2 ** 27 - 1
/** The pauses, by their value in two bits. An unknown value counts as a pause. */
const PAUSES = [false, 'silence', 'skip'] as const
const PAUSE_BITS = 4
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const HOOK_KEY_CHARACTERS = 22

/** Returns the tag by which an instance recognises its own paths. */
export function issuerTag(instance: string): string {
  return hash('sha256', instance, 'base64url').slice(0, ISSUER_CHARACTERS)
}

/**
 * Returns the last segment of a listen's socket path: `<id>.<time and flags><issuer><signature>`. `own`: the
 * credentials in the verb, with which jambonz opens the socket.
 */
export function signSocketToken(secret: Hmac, token: SocketToken, own?: Credentials): string {
  const stamp = stampOf(token)
  return `${token.listenId}.${stamp}${signature(secret, token.path, token.listenId, stamp, own)}`
}

/**
 * Returns the token in the last segment of a socket path; undefined unless it was signed for this route and these
 * credentials. Takes constant time. The token may have expired: see `ageOf`.
 */
export function readSocketToken(
  secret: Hmac,
  path: string,
  text: string,
  own?: Credentials
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

/**
 * Returns the age of a token in ms; if it is more than SOCKET_TOKEN_TTL, the token opens no socket. `own`: the tag of this
 * instance. A token of its own is no older than this process, even if the clock was set forward meanwhile, as on a
 * machine that learns the time only after its start.
 */
export function ageOf({ issuedAt, issuer }: SocketToken, own: string): number {
  const age = wallClock() - issuedAt
  return issuer === own ? Math.min(age, performance.now()) : age
}

/**
 * Returns the key that authenticates a GET hook of the listen. The hook has no payload that a signature could
 * cover, and the listen's id is no secret, since file names and logs contain it.
 */
export function signHookKey(secret: Hmac, listenId: string): string {
  return secret.digest('base64url', `hook\n${listenId}`).slice(0, HOOK_KEY_CHARACTERS)
}

/** Returns true for the key of the listen's GET hook. Takes constant time. */
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
  own: Credentials | undefined
): string {
  const credentials = own === undefined ? '' : `\n${JSON.stringify([own.username, own.password])}`
  return secret
    .digest('base64url', `audio\n${path}\n${listenId}\n${stamp}${credentials}`)
    .slice(0, SIGNATURE_CHARACTERS)
}

// The store passes the verbs of a live call to another instance, or keeps them until jambonz fetches them.
// They may have credentials and signed paths, so they are encrypted with the option `secret`. Somebody who
// can read the store then learns nothing from them, and somebody who can write to the store can't forge them.

const CIPHER = 'aes-256-gcm'
const NONCE = 12
const TAG = 16

/**
 * Encrypts a text. `about`: the purpose and the call of the text, which have to be the same for `unseal()`.
 */
export function seal(secret: Hmac, about: string, text: string): string {
  const nonce = randomBytes(NONCE)
  const cipher = createCipheriv(CIPHER, keyOf(secret), nonce, { authTagLength: TAG })
  cipher.setAAD(Buffer.from(about))
  const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return sealed.toString('base64')
}

/** Decrypts a text. Returns undefined if it was altered, or sealed with another secret or another `about`. */
export function unseal(secret: Hmac, about: string, sealed: string): string | undefined {
  const bytes = Buffer.from(sealed, 'base64')
  if (bytes.length < NONCE + TAG) return undefined
  const decipher = createDecipheriv(CIPHER, keyOf(secret), bytes.subarray(0, NONCE), { authTagLength: TAG })
  decipher.setAAD(Buffer.from(about))
  decipher.setAuthTag(bytes.subarray(-TAG))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(NONCE, -TAG)), decipher.final()]).toString('utf8')
  } catch {
    return undefined
  }
}

function keyOf(secret: Hmac): Buffer {
  return Buffer.from(secret.digest('hex', 'seal'), 'hex')
}
