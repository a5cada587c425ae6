import { SHORT_WAIT } from './PlayoutModel.js'
import { SAMPLE_BYTES } from '../../pcm/samples.js'

/** An action at a place in the audio: a mark, a flush, the beginning of an utterance. */
export interface Placement {
  isMark: boolean
  /** Does the action. Returns false if the action must wait. */
  place: (now: number) => boolean
  /** Called instead of `place` if the action is dropped. */
  drop: () => void
}

/**
 * The queue of audio that the application wrote and that was not sent yet: the current chunk, the chunks in the
 * Writable buffer of the stream, and actions between them. The position of an action is the number of bytes before it.
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

  /** `backlog`: returns the number of bytes that the application wrote and the queue has not sent. */
  constructor(backlog: () => number) {
    this.#backlog = backlog
  }

  /** Position behind everything written so far, rounded down to a whole sample. */
  get end(): number {
    const end = this.#taken + this.#backlog()
    return end - (end % SAMPLE_BYTES)
  }

  /** Bytes that are still to be sent. */
  get waiting(): number {
    return Math.max(0, this.end - Math.max(this.#position, this.#dropUntil))
  }

  /** true while no audio waits. */
  get silent(): boolean {
    return this.#chunk === undefined
  }

  /** true while neither audio nor an action waits. */
  get empty(): boolean {
    return this.silent && this.#placements.length === 0
  }

  /**
   * Returns true if a chunk of `bytes` bytes may be sent at once: it has whole samples, and nothing waits
   * before it.
   */
  takesWhole(bytes: number): boolean {
    return this.empty && this.#oddByte === undefined && bytes > 0 && bytes % SAMPLE_BYTES === 0
  }

  /** Bytes of audio before the next action; Infinity if no action waits. */
  get untilPlacement(): number {
    const next = this.#placements[0]
    return next === undefined ? Infinity : next.at - this.#position
  }

  /** Takes the next chunk. `done` is called when the queue needs another chunk. */
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

  /** Counts a chunk that was sent at once, after `takesWhole()` returned true. */
  pass(bytes: number): void {
    this.#taken += bytes
    this.#position = this.#taken
  }

  /** Adds an action behind everything written so far. */
  add(placement: Placement): void {
    this.#placements.push({ at: this.end, ...placement })
  }

  /** Does the next action, whose place is reached. Returns false if the action must wait. */
  place(now: number): boolean {
    const next = this.#placements[0]
    if (next === undefined || !next.place(now)) return false
    this.#placements = this.#placements.filter((other) => other !== next)
    return true
  }

  /**
   * Takes at most `bytes` of audio, in whole samples. Returns undefined if no audio waits, or no whole sample
   * fits.
   */
  take(bytes: number): Buffer | undefined {
    const chunk = this.#chunk
    if (chunk === undefined || (bytes < SAMPLE_BYTES && chunk.length >= SAMPLE_BYTES)) return undefined
    const most = Math.max(0, Math.min(bytes, chunk.length))
    const size = most - (most % SAMPLE_BYTES)
    this.#advance(chunk, size)
    return chunk.subarray(0, size)
  }

  /** Drops everything written so far. Returns the dropped actions. */
  drop(): Placement[] {
    this.#dropUntil = this.#taken + this.#backlog()
    const dropped = this.#placements
    this.#placements = []
    return dropped
  }

  /** Drops the marks, and calls their `drop()`. */
  dropMarks(): void {
    const marks = this.#placements.filter(({ isMark }) => isMark)
    this.#placements = this.#placements.filter(({ isMark }) => !isMark)
    for (const { drop } of marks) drop()
  }

  /** Removes a dropped chunk. Returns false if the current chunk was not dropped. */
  skip(): boolean {
    if (this.#chunk === undefined || this.#position >= this.#dropUntil) return false
    this.#oddByte = undefined
    this.#finish()
    return true
  }

  /** Drops everything, since nothing is sent any more. */
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

/**
 * Holds back the first audio of an utterance until there is enough of it for jambonz to play it at once. The
 * number of bytes depends on the rate of the call, which the plugin does not know, so `enough` is an upper
 * bound.
 */
export class Beginning {
  #heldSince: number | undefined
  // true from when there is enough audio for jambonz to begin, until jambonz plays it.
  #begins = false

  /**
   * Returns true while audio must wait. `enough`: bytes with which jambonz begins to play; 0 if jambonz plays
   * already.
   */
  isHeld(enough: number, { waiting, untilPlacement }: PlaybackQueue, now: number): boolean {
    if (enough === 0 || waiting >= enough || untilPlacement < Infinity) this.#begins = enough > 0
    if (enough === 0 || this.#begins) this.#heldSince = undefined
    else this.#heldSince ??= now
    return this.#heldSince !== undefined
  }

  /** Returns true if no more audio came for a while. */
  isOverdue(now: number): boolean {
    return this.#heldSince !== undefined && now - this.#heldSince >= SHORT_WAIT
  }

  /** Notes that the audio was dropped. */
  dropped(): void {
    this.#heldSince = undefined
  }
}
