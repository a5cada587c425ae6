import { MAX_TEXTS_PER_SECOND } from './wire.js'

const SECOND = 1000

/** Bounds what text of one socket may cost, without a timer. */
export class TextLimit {
  #since = 0
  #count = 0
  #invalid = false

  /** true for the first message over the limit within a second. */
  get justExceeded(): boolean {
    return this.#count === MAX_TEXTS_PER_SECOND + 1
  }

  /** Whether a message that came at `now` (ms) is to be looked at. */
  allow(now: number): boolean {
    if (now - this.#since >= SECOND) {
      this.#since = now
      this.#count = 0
    }
    return ++this.#count <= MAX_TEXTS_PER_SECOND
  }

  /** true once. */
  firstInvalid(): boolean {
    const first = !this.#invalid
    this.#invalid = true
    return first
  }
}
