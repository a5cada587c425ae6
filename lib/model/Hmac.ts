import { createHmac, hash } from 'node:crypto'

const BLOCK = 64
const DIGEST = 32
const INNER_PAD = 0x36
const OUTER_PAD = 0x5c
/** bytes of the largest message that is hashed here; larger ones go to Node's own Hmac */
const ROOM = 16_384
/** at most, of a character in UTF-8 */
const CHARACTER = 3

/**
 * HMAC-SHA256 (RFC 2104) with one key, which shows in no log. Made of two hashes at one call each: Node's `createHmac`
 * makes an object outside of the heap, which costs what it computes several times over once it is collected.
 */
export class Hmac {
  readonly #key: Buffer
  readonly #inner = Buffer.alloc(BLOCK + ROOM)
  readonly #outer = Buffer.alloc(BLOCK + DIGEST)

  constructor(key: string | Buffer) {
    this.#key = Buffer.from(key)
    const block = Buffer.alloc(BLOCK)
    if (this.#key.length > BLOCK) block.write(hash('sha256', this.#key, 'hex'), 'hex')
    else this.#key.copy(block)
    block.forEach((byte, at) => {
      this.#inner[at] = byte ^ INNER_PAD
      this.#outer[at] = byte ^ OUTER_PAD
    })
  }

  /** Returns the HMAC of `text` in UTF-8, followed by `rest`. */
  digest(encoding: 'hex' | 'base64url', text: string, rest?: Buffer): string {
    if (text.length * CHARACTER + (rest?.length ?? 0) > ROOM) {
      return createHmac('sha256', this.#key)
        .update(text)
        .update(rest ?? '')
        .digest(encoding)
    }
    let length = BLOCK + this.#inner.write(text, BLOCK)
    if (rest !== undefined) length += rest.copy(this.#inner, length)
    this.#outer.write(hash('sha256', this.#inner.subarray(0, length), 'binary'), BLOCK, 'binary')
    return hash('sha256', this.#outer, encoding)
  }
}
