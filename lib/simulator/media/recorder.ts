/** Keeps a copy of bytes up to a limit, and counts all bytes. */
export class Recorder {
  readonly #limit: number
  #chunks: Buffer[] = []
  #kept = 0
  bytes = 0

  /** `limit`: the most bytes to keep. Further bytes are only counted. */
  constructor(limit: number) {
    this.#limit = limit
  }

  add(bytes: Buffer): void {
    this.bytes += bytes.length
    const room = this.#limit - this.#kept
    if (room <= 0) return
    const kept = Buffer.from(bytes.subarray(0, room))
    this.#chunks.push(kept)
    this.#kept += kept.length
  }

  /** False if the limit cut bytes off. */
  get complete(): boolean {
    return this.#kept === this.bytes
  }

  audio(): Buffer {
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }
}
