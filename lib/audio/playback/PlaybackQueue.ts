import { SAMPLE_BYTES } from '../../pcm/samples.js'

/** Something that happens at a place in the audio: a mark, a flush, the beginning of an utterance. */
export interface Placement {
  isMark: boolean
  /** Returns false while it can't be done yet. */
  place: (now: number) => boolean
  /** It will never be done. */
  drop: () => void
}

/**
 * The audio that the application wrote and that has not been sent: the chunk in hand, the chunks the stream's Writable
 * side holds behind it, and the actions between them. Each has a position: the bytes of audio before it.
 */
export class PlaybackQueue {
  readonly #backlog: () => number
  #chunk: Buffer | undefined
  #done: (() => void) | undefined
  #oddByte: Buffer | undefined
  #position = 0
  #taken = 0
  #dropUntil = 0
  #placements: Array<Placement & { at: number }> = []

  /** `backlog`: bytes written that have not been asked for with `done`, the chunk in hand included. */
  constructor(backlog: () => number) {
    this.#backlog = backlog
  }

  /** Behind everything written so far, down to a whole sample. */
  get end(): number {
    const end = this.#taken + this.#backlog()
    return end - (end % SAMPLE_BYTES)
  }

  /** Bytes that are still to go out. */
  get waiting(): number {
    return Math.max(0, this.end - Math.max(this.#position, this.#dropUntil))
  }

  /** No audio waits. */
  get silent(): boolean {
    return this.#chunk === undefined
  }

  /** Nothing waits at all. */
  get empty(): boolean {
    return this.silent && this.#placements.length === 0
  }

  /** Returns true where a chunk of so many bytes is whole samples, and nothing waits before it. */
  takesWhole(bytes: number): boolean {
    return this.empty && this.#oddByte === undefined && bytes > 0 && bytes % SAMPLE_BYTES === 0
  }

  /** Bytes of audio before the next placement; Infinity where there is none. */
  get untilPlacement(): number {
    const next = this.#placements[0]
    return next === undefined ? Infinity : next.at - this.#position
  }

  /** Takes the next chunk; `done` asks for another. */
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

  /** Counts a chunk that went out without waiting here. Only where `takesWhole` said so. */
  pass(bytes: number): void {
    this.#taken += bytes
    this.#position = this.#taken
  }

  /** Has something happen behind everything written so far. */
  add(placement: Placement): void {
    this.#placements.push({ at: this.end, ...placement })
  }

  /** Does what is next, where its place is reached. Returns false where it has to wait. */
  place(now: number): boolean {
    const next = this.#placements[0]
    if (next === undefined || !next.place(now)) return false
    this.#placements = this.#placements.filter((other) => other !== next)
    return true
  }

  /** Returns at most `bytes` of the next audio, in whole samples; undefined where there is none, or no room for one. */
  take(bytes: number): Buffer | undefined {
    const chunk = this.#chunk
    if (chunk === undefined || (bytes < SAMPLE_BYTES && chunk.length >= SAMPLE_BYTES)) return undefined
    const most = Math.max(0, Math.min(bytes, chunk.length))
    const size = most - (most % SAMPLE_BYTES)
    this.#advance(chunk, size)
    return chunk.subarray(0, size)
  }

  /** Marks everything written so far as dropped, and returns what was to happen in it. */
  drop(): Placement[] {
    this.#dropUntil = this.#taken + this.#backlog()
    const dropped = this.#placements
    this.#placements = []
    return dropped
  }

  dropMarks(): void {
    const marks = this.#placements.filter(({ isMark }) => isMark)
    this.#placements = this.#placements.filter(({ isMark }) => !isMark)
    for (const { drop } of marks) drop()
  }

  /** Takes dropped audio out of the way. Returns false where there was none. */
  skip(): boolean {
    if (this.#chunk === undefined || this.#position >= this.#dropUntil) return false
    this.#oddByte = undefined
    this.#finish()
    return true
  }

  /** Nothing goes out any more. */
  close(): void {
    for (const { drop } of this.drop()) drop()
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
