import type { MarkOutcome } from '../socket/types.js'

/** ms that a letter takes to be said; of a text whose audio has not been written whole, this tells how long it will be. */
const LETTER_MS = 66

export interface UtteranceOptions {
  /** names it in `stream.output` and in the `Listen`. Default: one of ours */
  id?: string
  /** what is said: `done` then tells how much of it was heard */
  text?: string
}

/** How an utterance ended. */
export interface UtteranceEnd {
  /** `playout`: the caller heard all of it. `cleared`: `clear()`, or the end of the listen, cut it off */
  outcome: MarkOutcome
  /** ms of it that the caller heard */
  heardMs: number
  /** the words of `text` that the caller heard */
  heardText?: string
}

export interface UtteranceDeps {
  id: string
  text: string | undefined
  /** of what is written */
  bytesPerMs: number
  write: (pcm: Uint8Array) => boolean
  /** Has whoever waits for room told a moment later; returns false. */
  refuse: () => false
  finish: (utterance: Utterance) => void
  playedMs: () => number
  onOver: (utterance: Utterance, end: UtteranceEnd) => void
}

/**
 * One thing that is said: what is written between its beginning and its end. What is written to it after it was cleared
 * is dropped, so that speech that is still being made when the caller interrupts is not heard.
 */
export class Utterance {
  readonly id: string
  readonly text: string | undefined
  /** Settles, never rejects, when the caller has heard it, or never will. */
  readonly done: Promise<UtteranceEnd>
  /** Some of it was written, or heard, while the call was private: what it says is noted nowhere. */
  isPrivate = false
  readonly #deps: UtteranceDeps
  #settle!: (end: UtteranceEnd) => void
  #bytes = 0
  #finished = false
  // On the scale of `playedMs`.
  #startMs: number | undefined
  #atMs: number | undefined
  #end: UtteranceEnd | undefined

  constructor(deps: UtteranceDeps) {
    this.#deps = deps
    this.id = deps.id
    this.text = deps.text
    this.done = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  /** ms of audio written to it */
  get writtenMs(): number {
    return this.#bytes / this.#deps.bytesPerMs
  }

  /** ms of it that the caller has heard */
  get heardMs(): number {
    if (this.#end !== undefined) return this.#end.heardMs
    if (this.#startMs === undefined) return 0
    return Math.min(this.writtenMs, Math.max(0, this.#deps.playedMs() - this.#startMs))
  }

  /** ms into the audio of the listen, where the caller began to hear it; undefined: not yet, or never */
  get atMs(): number | undefined {
    return this.#atMs
  }

  /** Writes audio, as `stream.write()` does. Returns false where the next should wait for the stream's `drain`. */
  write(pcm: Uint8Array): boolean {
    if (this.#finished || this.#end !== undefined) return this.#deps.refuse()
    this.#bytes += pcm.length
    return this.#deps.write(pcm)
  }

  /** Says that all was written: its last words are played, too, and `done` settles when they have been heard. */
  end(): void {
    if (this.#finished || this.#end !== undefined) return
    this.#finished = true
    this.#deps.finish(this)
  }

  /** Counts audio of it that was written to the stream itself. */
  wrote(bytes: number): void {
    this.#bytes += bytes
  }

  /** Its audio begins to go out, `startMs` on the scale of `playedMs`. */
  begun(startMs: number): void {
    this.#startMs = startMs
  }

  /** The caller begins to hear it, as the frames tell: they may come when it is over already. */
  heardFrom(atMs: number): void {
    if (this.#atMs !== undefined) return
    this.#atMs = atMs
    if (this.#end !== undefined) this.#deps.onOver(this, this.#end)
  }

  over(outcome: MarkOutcome): void {
    if (this.#end !== undefined) return
    const heardMs = Math.round(outcome === 'playout' ? this.writtenMs : this.heardMs)
    const end: UtteranceEnd = {
      outcome,
      heardMs,
      ...(this.text !== undefined && { heardText: this.#heardText(this.text, outcome, heardMs) })
    }
    this.#end = end
    this.#deps.onOver(this, end)
    // Not at once: a loop of utterances that are cleared must not keep the event loop from its turn.
    setImmediate(() => this.#settle(end))
  }

  #heardText(text: string, outcome: MarkOutcome, heardMs: number): string {
    if (outcome === 'playout') return text
    const wholeMs = this.#finished ? this.writtenMs : Math.max(this.writtenMs, text.length * LETTER_MS)
    return wholeMs === 0 ? '' : cutAtWord(text, Math.floor((text.length * heardMs) / wholeMs))
  }
}

/** Returns the whole words among the first `length` letters of a text. */
export function cutAtWord(text: string, length: number): string {
  if (length >= text.length) return text
  const cut = text.slice(0, length)
  return /\s/.test(text[length] ?? '') ? cut.trimEnd() : cut.replace(/\S*$/, '').trimEnd()
}
