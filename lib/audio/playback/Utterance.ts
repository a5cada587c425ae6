import type { MarkOutcome } from '../socket/types.js'

/**
 * ms that a letter takes to be said; of a text whose audio has not been written whole, this tells how long it will be.
 */
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
  /** Returns false, and emits the stream's `drain` a moment later for a writer that waits for room. */
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

  /** Writes audio, as `stream.write()` does. Returns false if the next has to wait for the stream's `drain`. */
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

export interface SpeechDeps {
  /** Returns an utterance for a run of audio outside of any utterance. */
  beginRun: () => Utterance
  /** Returns the ms of audio that was sent, on the scale of `playedMs`. */
  sentMs: () => number
  /** Calls `heard` when the caller begins to hear the audio that is sent next, with the ms into the caller's audio. */
  onHeard: (heard: (atMs: number) => void) => void
  /** Calls `end` when the caller has heard all audio that was sent so far, or never will. */
  onEnd: (end: (outcome: MarkOutcome) => void) => void
}

/**
 * The speech on one stream, as it is sent: utterances, runs of audio outside of them, and its privacy. Each utterance
 * and run ends once, by what comes first: the track shows that the caller heard its end; the clock says so, and the
 * track shows nothing for TRACK_PATIENCE (both by `onEnd`); or a clear, or the end of the socket, cuts it off.
 */
export class Speech {
  readonly #deps: SpeechDeps
  // Begun and not over, oldest first.
  #open: Utterance[] = []
  // The utterance, or the run, whose audio is being sent.
  #speaking: Utterance | undefined
  #run: Utterance | undefined
  // The call is private now; the audio that is sent now was written in private.
  #private = false
  #sendsPrivate = false

  constructor(deps: SpeechDeps) {
    this.#deps = deps
  }

  /** true while a run is being sent. */
  get isRun(): boolean {
    return this.#run !== undefined
  }

  /** true while audio is sent that was written in private. */
  get isPrivate(): boolean {
    return this.#sendsPrivate
  }

  /** Begins an utterance with the audio that is sent next. */
  begin(utterance: Utterance): void {
    this.endRun()
    utterance.isPrivate ||= this.#private || this.#sendsPrivate
    this.#speaking = utterance
    this.#add(utterance)
  }

  /** Ends an utterance with the audio that was sent. It is over when the caller has heard it. */
  finish(utterance: Utterance): void {
    if (this.#speaking === utterance) this.#speaking = undefined
    utterance.isPrivate ||= this.#sendsPrivate
    this.#deps.onEnd((outcome) => this.over(utterance, outcome))
  }

  /** Counts bytes of the application's audio. Outside of an utterance they belong to a run. */
  sent(bytes: number): void {
    if (this.#speaking !== undefined) return
    this.#run ??= this.#beginRun()
    this.#run.wrote(bytes)
  }

  /** Ends the run, if there is one. */
  endRun(): void {
    const run = this.#run
    this.#run = undefined
    if (run !== undefined) this.#deps.onEnd((outcome) => this.over(run, outcome))
  }

  /** Notes that the call has become private (true), or no longer is. */
  privacy(isPrivate: boolean): void {
    this.#private = isPrivate
    if (isPrivate) for (const utterance of this.#open) utterance.isPrivate = true
  }

  /** Notes that the audio that is sent next was written in private (true), or was not. */
  sendsPrivate(isPrivate: boolean): void {
    this.#sendsPrivate = isPrivate
  }

  /** Notes that all audio that waited was dropped. */
  dropped(): void {
    this.#speaking = undefined
    this.#sendsPrivate = this.#private
  }

  /** Ends everything that is not over: the caller hears no more of it. */
  cutOff(): void {
    const run = this.#run
    this.#run = undefined
    for (const utterance of [...this.#open]) {
      const isHeard = utterance === run && run.heardMs >= run.writtenMs
      this.over(utterance, isHeard ? 'playout' : 'cleared')
    }
  }

  /** Ends an utterance: the caller has heard it, or never will. */
  over(utterance: Utterance, outcome: MarkOutcome): void {
    this.#open = this.#open.filter((other) => other !== utterance)
    utterance.over(outcome)
  }

  #beginRun(): Utterance {
    const run = this.#deps.beginRun()
    run.isPrivate = this.#private || this.#sendsPrivate
    this.#add(run)
    return run
  }

  #add(utterance: Utterance): void {
    this.#open.push(utterance)
    this.#deps.onHeard((atMs) => utterance.heardFrom(atMs))
    utterance.begun(this.#deps.sentMs())
  }
}

/** Returns the whole words among the first `length` letters of a text. */
export function cutAtWord(text: string, length: number): string {
  if (length >= text.length) return text
  const cut = text.slice(0, length)
  return /\s/.test(text[length] ?? '') ? cut.trimEnd() : cut.replace(/\S*$/, '').trimEnd()
}
