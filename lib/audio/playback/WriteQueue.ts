import { SAMPLE_BYTES } from '../../pcm/samples.js'

/**
 * What the application writes, as far as it has not gone out: the chunk in hand, and behind it what the stream's
 * Writable side holds. Everything has a position: the bytes of audio before it since the beginning.
 */
export class WriteQueue {
  readonly #backlog: () => number
  #chunk: Buffer | undefined
  #done: (() => void) | undefined
  #oddByte: Buffer | undefined
  #position = 0
  #taken = 0
  #dropUntil = 0

  /** `backlog`: bytes written that have not been asked for with `done`, the chunk in hand included. */
  constructor(backlog: () => number) {
    this.#backlog = backlog
  }

  /** Of the next byte to go out. */
  get position(): number {
    return this.#position
  }

  /** Behind everything written so far, down to a whole sample. */
  get end(): number {
    const end = this.#taken + this.#backlog()
    return end - (end % SAMPLE_BYTES)
  }

  get empty(): boolean {
    return this.#chunk === undefined
  }

  /** The next chunk; `done` asks for another. */
  write(chunk: Buffer, done: () => void): void {
    this.#chunk = chunk
    if (this.#oddByte !== undefined) {
      this.#chunk = Buffer.concat([this.#oddByte, chunk])
      this.#position -= this.#oddByte.length
      this.#oddByte = undefined
    }
    this.#done = () => {
      this.#taken += chunk.length
      this.#position = this.#taken
      done()
    }
  }

  /** At most `bytes` of the next audio, in whole samples; undefined when there is none, or no room for one. */
  take(bytes: number): Buffer | undefined {
    const chunk = this.#chunk
    if (chunk === undefined || (bytes < SAMPLE_BYTES && chunk.length >= SAMPLE_BYTES)) return undefined
    const most = Math.max(0, Math.min(bytes, chunk.length))
    const size = most - (most % SAMPLE_BYTES)
    this.#advance(chunk, size)
    return chunk.subarray(0, size)
  }

  /** Everything written so far will never go out. */
  drop(): void {
    this.#dropUntil = this.#taken + this.#backlog()
  }

  /** Takes dropped audio out of the way. true: there was some. */
  skip(): boolean {
    if (this.#chunk === undefined || this.#position >= this.#dropUntil) return false
    this.#oddByte = undefined
    this.#finish()
    return true
  }

  /** Nothing goes out any more. */
  close(): void {
    if (this.#chunk !== undefined) this.#finish()
  }

  #advance(chunk: Buffer, size: number): void {
    this.#position += size
    this.#chunk = chunk.subarray(size)
    if (this.#chunk.length >= SAMPLE_BYTES) return
    if (this.#chunk.length > 0) this.#oddByte = this.#chunk
    this.#finish()
  }

  #finish(): void {
    const done = this.#done
    this.#chunk = undefined
    this.#done = undefined
    done?.()
  }
}
