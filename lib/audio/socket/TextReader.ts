import { readMessage, type AudioMessage } from './messages.js'
import { MAX_TEXTS_PER_SECOND } from './wire.js'

const SECOND = 1000

/** The key that was pressed last. */
export interface PressedKey {
  digit: string
  /** ms, as of `performance.now()` */
  at: number
  isPrivate: boolean
}

/** Reads the texts of one socket, bounds what they may cost, and remembers the last key. */
export class TextReader {
  key: PressedKey | undefined
  readonly #warn: (text: string) => void
  #since = 0
  #count = 0
  #invalid = false

  /** `warn`: told once of text that is no message, and once a second of a flood. */
  constructor(warn: (text: string) => void) {
    this.#warn = warn
  }

  /** Returns what a text says that came at `now` (ms); undefined: nothing that counts. `isPrivate`: it was said in private. */
  read(text: Buffer, now: number, isPrivate: boolean): AudioMessage | undefined {
    if (!this.#allows(now)) return undefined
    const message = readMessage(text)
    if (message.type === 'invalid') {
      if (!this.#invalid) this.#warn(`text from jambonz is ignored: ${message.reason}`)
      this.#invalid = true
      return undefined
    }
    if (message.type === 'dtmf') {
      this.key = { digit: message.dtmf.digit, at: now, isPrivate }
      if (isPrivate) message.dtmf.private = true
    }
    return message
  }

  // Without a timer.
  #allows(now: number): boolean {
    if (now - this.#since >= SECOND) {
      this.#since = now
      this.#count = 0
    }
    this.#count++
    if (this.#count === MAX_TEXTS_PER_SECOND + 1) {
      this.#warn('jambonz floods the socket with text: what is over 500 messages a second is ignored')
    }
    return this.#count <= MAX_TEXTS_PER_SECOND
  }
}
