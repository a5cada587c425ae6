import { createHash, type Hash } from 'node:crypto'

/** Keeps bytes up to a cap, and counts and hashes all of them. */
export class Recorder {
  readonly #limit: number
  readonly #hash: Hash = createHash('sha256')
  #chunks: Buffer[] = []
  #kept = 0
  bytes = 0

  /** `limit`: bytes kept; what comes after is only counted and hashed. */
  constructor (limit: number) {
    this.#limit = limit
  }

  add (bytes: Buffer): void {
    this.bytes += bytes.length
    this.#hash.update(bytes)
    if (this.#kept >= this.#limit) return
    const kept = this.#kept + bytes.length > this.#limit ? bytes.subarray(0, this.#limit - this.#kept) : bytes
    this.#chunks.push(kept)
    this.#kept += kept.length
  }

  get complete (): boolean {
    return this.#kept === this.bytes
  }

  audio (): Buffer {
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }

  sha256 (): string {
    return this.#hash.copy().digest('hex')
  }
}
