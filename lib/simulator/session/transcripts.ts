import type { Cancel, Clock } from '../clock.js'
import type { Transcript } from '../types.js'

/** ms before the caller says his next line. */
const THINK_MS = 1_000

/** A final result of speech recognition, as jambonz passes it on. */
export interface Heard {
  language_code: string
  channel_tag: number
  is_final: boolean
  alternatives: Array<{ transcript: string; confidence: number }>
  vendor: { name: string }
}

/**
 * The lines that the caller says, as text. The caller says a line with a time at that time; the line is lost if no verb
 * transcribes then. He says the other lines in their order, one line each time that the application asks for speech.
 */
export class Transcripts {
  readonly #clock: Clock
  readonly #timed: Transcript[]
  readonly #untimed: Transcript[]
  readonly #listeners = new Set<(heard: Heard) => void>()
  #next: Cancel | undefined
  #begun = false

  constructor(clock: Clock, script: Transcript[]) {
    this.#clock = clock
    this.#timed = script.filter((line) => line.atMs !== undefined)
    this.#untimed = script.filter((line) => line.atMs === undefined)
  }

  /** Starts the script. */
  begin(): void {
    if (this.#begun) return
    this.#begun = true
    for (const line of this.#timed) this.#clock.at(this.#clock.now() + line.atMs!, () => this.#say(line))
  }

  listen(listener: (heard: Heard) => void): Cancel {
    this.begin()
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.#next?.()
    }
  }

  /** Has the caller say his next line; with `all`, all lines that are left. */
  invite(all = false): void {
    this.#next?.()
    if (this.#untimed.length === 0) return
    this.#next = this.#clock.at(this.#clock.now() + THINK_MS, () => {
      const line = this.#untimed.shift()
      if (line !== undefined) this.#say(line)
      if (all) this.invite(true)
    })
  }

  #say({ text, confidence }: Transcript): void {
    const heard: Heard = {
      language_code: 'en-US',
      channel_tag: 1,
      is_final: true,
      alternatives: [{ transcript: text, confidence: confidence ?? 0.95 }],
      vendor: { name: 'simulator' }
    }
    for (const listener of [...this.#listeners]) listener(heard)
  }
}
