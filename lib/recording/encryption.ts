import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { Transform, type TransformCallback } from 'node:stream'
import { types } from 'node:util'
import { thrownMessage } from '../model/json.js'
import { kindOf } from '../model/checkOptions.js'
import { ERR_RECORDING_DECRYPT, ERR_RECORDING_KEY } from '../model/errors.js'
import type { Encryption } from './options.js'

// The layout of an encrypted recording, with lengths in bytes:
//   preamble  64: magic 8 | salt 16 | length of the key's id 1 | the key's id, filled up with zeros
//   frames    head 8: length of the text u32le, 1 if it is the last u8, zeros 3 | nonce 12 | text | tag 16
// The cipher is AES-256-GCM. Each file has its own key: HKDF-SHA-256 of the master key with the salt of the
// file. Each frame authenticates the preamble, its index and its head, so that nobody can alter, move or
// leave out a frame, or take it from another file. Frame 0 is the WAV header. It is at a fixed offset, and is
// encrypted with a new nonce whenever it changes.
const MAGIC = 'JAMBENC1'
const SALT_AT = 8
const SALT_BYTES = 16
const KEY_ID_AT = SALT_AT + SALT_BYTES
export const PREAMBLE_BYTES = 64
/** maximum bytes of a key's id, in UTF-8 */
export const MAX_KEY_ID_BYTES = PREAMBLE_BYTES - KEY_ID_AT - 1
const KEY_BYTES = 32
export const FRAME_HEAD_BYTES = 8
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Bytes of a frame besides its text. */
export const FRAME_OVERHEAD = FRAME_HEAD_BYTES + NONCE_BYTES + TAG_BYTES
/** Maximum bytes of text in one frame. A file with a larger frame was not written by this plugin. */
const MAX_TEXT_BYTES = 1024 * 1024
const ALGORITHM = 'aes-256-gcm'
const PURPOSE = 'fastify-jambonz-listen recording'
export const NO_BYTES = Buffer.alloc(0)

/** Returns, or resolves to, the master key with this id, which has 32 bytes. */
export type KeyOf = (keyId: string) => Uint8Array | Promise<Uint8Array>

export interface FrameHead {
  textBytes: number
  last: boolean
}

export function createPreamble(keyId: string): Buffer {
  const preamble = Buffer.alloc(PREAMBLE_BYTES)
  preamble.write(MAGIC, 'latin1')
  randomBytes(SALT_BYTES).copy(preamble, SALT_AT)
  preamble[KEY_ID_AT] = preamble.write(keyId, KEY_ID_AT + 1)
  return preamble
}

/**
 * Returns the id of the key that a file was encrypted with. Throws FST_JAMBONZ_RECORDING_DECRYPT if the file is not an
 * encrypted recording.
 */
export function keyIdOf(preamble: Buffer): string {
  if (preamble.length < PREAMBLE_BYTES || preamble.toString('latin1', 0, SALT_AT) !== MAGIC) {
    throw new ERR_RECORDING_DECRYPT('it is not an encrypted recording')
  }
  return preamble.toString('utf8', KEY_ID_AT + 1, KEY_ID_AT + 1 + (preamble[KEY_ID_AT] ?? 0))
}

export function readFrameHead(bytes: Buffer): FrameHead {
  const textBytes = bytes.readUInt32LE(0)
  if (textBytes > MAX_TEXT_BYTES) throw new ERR_RECORDING_DECRYPT('one of its frames is damaged')
  return { textBytes, last: bytes[4] === 1 }
}

/**
 * Asks the application for the key of a file and resolves to its cipher. `path`: the path for the error.
 * Rejects with FST_JAMBONZ_RECORDING_KEY if there is no key.
 */
export async function createCipher(
  path: string,
  preamble: Buffer,
  { key }: Encryption
): Promise<FrameCipher> {
  try {
    return new FrameCipher(checkKey(await key(keyIdOf(preamble))), preamble)
  } catch (cause) {
    throw new ERR_RECORDING_KEY(path, thrownMessage(cause), { cause })
  }
}

/** Returns the key that the application gave. Throws if it is not 32 bytes. */
function checkKey(key: unknown): Uint8Array {
  if (!types.isUint8Array(key)) {
    const advice = typeof key === 'string' ? ": decode it, as in Buffer.from(key, 'hex')" : ''
    throw new Error(`the key is ${kindOf(key)}, not a Buffer of ${KEY_BYTES} bytes${advice}`)
  }
  if (key.length !== KEY_BYTES) throw new Error(`the key has ${key.length} bytes, but must have ${KEY_BYTES}`)
  return key
}

/** The cipher that encrypts and decrypts the frames of one file. */
export class FrameCipher {
  readonly preamble: Buffer
  readonly #key: Buffer

  /** `master`: the master key, KEY_BYTES long */
  constructor(master: Uint8Array, preamble: Buffer) {
    this.preamble = preamble
    this.#key = Buffer.from(
      hkdfSync('sha256', master, preamble.subarray(SALT_AT, KEY_ID_AT), PURPOSE, KEY_BYTES)
    )
  }

  seal(index: number, text: Buffer, last = false): Buffer {
    const head = Buffer.alloc(FRAME_HEAD_BYTES)
    head.writeUInt32LE(text.length)
    head[4] = last ? 1 : 0
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce)
    cipher.setAAD(this.#place(index, head))
    return Buffer.concat([head, nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()])
  }

  /** Returns the text of a whole frame. Throws FST_JAMBONZ_RECORDING_DECRYPT for a wrong key or a damaged frame. */
  open(index: number, frame: Buffer): Buffer {
    const nonceEnd = FRAME_HEAD_BYTES + NONCE_BYTES
    const decipher = createDecipheriv(ALGORITHM, this.#key, frame.subarray(FRAME_HEAD_BYTES, nonceEnd))
    decipher.setAAD(this.#place(index, frame.subarray(0, FRAME_HEAD_BYTES)))
    decipher.setAuthTag(frame.subarray(-TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(frame.subarray(nonceEnd, -TAG_BYTES)), decipher.final()])
    } catch (cause) {
      throw new ERR_RECORDING_DECRYPT(
        index === 0
          ? 'the key is not the one it was encrypted with, or it is damaged'
          : `frame ${index} is damaged`,
        { cause }
      )
    }
  }

  #place(index: number, head: Buffer): Buffer {
    const place = Buffer.alloc(4)
    place.writeUInt32LE(index)
    return Buffer.concat([this.preamble, place, head])
  }
}

/**
 * Resolves to a stream that encrypts any file in the layout of recordings, so that decryptRecording() can
 * decrypt it. Rejects with FST_JAMBONZ_RECORDING_KEY if there is no key.
 */
export async function encryptStream(path: string, encryption: Encryption): Promise<Transform> {
  const cipher = await createCipher(path, createPreamble(encryption.keyId), encryption)
  let index = 0
  const stream = new Transform({
    transform(chunk: Buffer, _, done) {
      done(null, cipher.seal(index++, chunk))
    },
    flush(done) {
      done(null, cipher.seal(index, NO_BYTES, true))
    }
  })
  stream.push(cipher.preamble)
  return stream
}

/**
 * Returns a stream that decrypts a recording to a plain WAV:
 * `pipeline(createReadStream(from), decryptRecording(key), createWriteStream(to))`.
 * It fails with FST_JAMBONZ_RECORDING_DECRYPT if the key is wrong, or if a part of the file is damaged or
 * missing. All bytes that it gave before the failure are authentic.
 */
export function decryptRecording(key: Uint8Array | KeyOf): Transform {
  return new DecryptStream(typeof key === 'function' ? key : () => key)
}

class DecryptStream extends Transform {
  readonly #keyOf: KeyOf
  #cipher: FrameCipher | undefined
  #rest = Buffer.alloc(0)
  #index = 0
  #complete = false

  constructor(keyOf: KeyOf) {
    super()
    this.#keyOf = keyOf
  }

  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    this.#decrypt().then(() => done(), done)
  }

  override _flush(done: TransformCallback): void {
    done(
      this.#complete && this.#rest.length === 0
        ? null
        : new ERR_RECORDING_DECRYPT('its end is missing, or something follows it')
    )
  }

  async #decrypt(): Promise<void> {
    const cipher = this.#cipher ?? (await this.#begin())
    if (cipher === undefined) return
    while (this.#rest.length >= FRAME_HEAD_BYTES) {
      if (this.#complete) throw new ERR_RECORDING_DECRYPT('something follows its end')
      const { textBytes, last } = readFrameHead(this.#rest)
      const length = textBytes + FRAME_OVERHEAD
      if (this.#rest.length < length) return
      this.push(cipher.open(this.#index++, this.#rest.subarray(0, length)))
      this.#rest = this.#rest.subarray(length)
      this.#complete = last
    }
  }

  async #begin(): Promise<FrameCipher | undefined> {
    if (this.#rest.length < PREAMBLE_BYTES) return undefined
    const preamble = Buffer.from(this.#rest.subarray(0, PREAMBLE_BYTES))
    const key = await this.#keyOf(keyIdOf(preamble))
    try {
      this.#cipher = new FrameCipher(checkKey(key), preamble)
    } catch (cause) {
      throw new ERR_RECORDING_DECRYPT(thrownMessage(cause), { cause })
    }
    this.#rest = this.#rest.subarray(PREAMBLE_BYTES)
    return this.#cipher
  }
}
