import { Transform, type TransformCallback } from 'node:stream'
import { ERR_RECORDING_DECRYPT } from '../model/errors.js'
import {
  FRAME_HEAD_BYTES,
  FRAME_OVERHEAD,
  FrameCipher,
  KEY_BYTES,
  keyIdOf,
  PREAMBLE_BYTES,
  readFrameHead
} from './cipher.js'

/** The master key with this id: 32 bytes. */
export type KeyOf = (keyId: string) => Uint8Array | Promise<Uint8Array>

/** Throws when what an application gave is no key. */
export function checkKey(key: unknown): Uint8Array {
  if (!(key instanceof Uint8Array)) {
    throw new Error(`the key is ${key === null ? 'null' : typeof key}, not a Buffer`)
  }
  if (key.length !== KEY_BYTES) throw new Error(`the key has ${key.length} bytes`)
  return key
}

/**
 * Makes a plain WAV of an encrypted recording: `pipeline(createReadStream(from), decryptRecording(key), createWriteStream(to))`.
 * Fails with FST_JAMBONZ_RECORDING_DECRYPT when the key is another, or anything of the file is damaged or missing;
 * what came out before that is genuine.
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
    this.#decrypt().then(() => {
      done()
    }, done)
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
      throw new ERR_RECORDING_DECRYPT(cause instanceof Error ? cause.message : String(cause), { cause })
    }
    this.#rest = this.#rest.subarray(PREAMBLE_BYTES)
    return this.#cipher
  }
}
