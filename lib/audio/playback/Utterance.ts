import type { L16 } from '../../pcm/samples.js'
import type { MarkOutcome } from '../socket/types.js'

/**
 * ms of speech for one letter, on average. With it, the length of an utterance is estimated until all its
 * audio is written.
 */
const LETTER_MS = 66

export interface UtteranceOptions {
  /** name of the utterance in `stream.output` and in the `Listen`. Default: `utterance-1`, `utterance-2`, … */
  id?: string | undefined
  /** the words of the utterance; `done` then resolves to the words that the caller heard, too */
  text?: string | undefined
}

/** How an utterance ended. */
export interface UtteranceEnd {
  /**
   * `playout`: the caller heard the whole utterance. `cleared`: `clear()` or the end of the listen cut it
   * off.
   */
  outcome: MarkOutcome
  /** ms of the utterance that the caller heard */
  heardMs: number
  /** the words of `text` that the caller heard */
  heardText?: string
}

export interface UtteranceDeps {
  id: string
  text: string | undefined
  /** bytes in one ms of the audio that is written */
  bytesPerMs: number
  /** Writes audio to the stream, as `stream.write()` does. */
  write: (pcm: L16) => boolean
  /**
   * Returns false. The stream emits `drain` a moment later, for a writer that waits for it. `isLate`: true if the
   * application writes behind its own `end()`.
   */
  refuse: (isLate: boolean) => false
  /** Ends the utterance behind everything written so far. */
  finish: (utterance: Utterance) => void
  /** Returns the ms of the stream's audio that the caller has heard. */
  playedMs: () => number
  /**
   * Called when the utterance has ended, and again if the track finds only later where the utterance began.
   */
  onOver: (utterance: Utterance, end: UtteranceEnd) => void
}

/**
 * An utterance: the audio that the application writes between `stream.utterance()` and `end()`. After a clear
 * it drops further audio, since the caller has interrupted, and must not hear speech that is still being
 * synthesized.
 */
export class Utterance {
  readonly id: string
  readonly text: string | undefined
  /** Resolves when the caller has heard the utterance, or when it is cut off. Never rejects. */
  readonly done: Promise<UtteranceEnd>
  /**
   * true if a part of the utterance was written or heard while the call was private, so that the `Listen`
   * must not contain the text
   */
  isPrivate = false
  readonly #deps: UtteranceDeps
  #settle!: (end: UtteranceEnd) => void
  #bytes = 0
  #finished = false
  // The beginning of the utterance, on the scale of `playedMs`.
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

  /** ms of audio that was written to the utterance */
  get writtenMs(): number {
    return this.#bytes / this.#deps.bytesPerMs
  }

  /** ms of the utterance that the caller has heard */
  get heardMs(): number {
    if (this.#end !== undefined) return this.#end.heardMs
    if (this.#startMs === undefined) return 0
    return Math.min(this.writtenMs, Math.max(0, this.#deps.playedMs() - this.#startMs))
  }

  /**
   * ms into the audio of the listen at which the caller began to hear the utterance; undefined if that has
   * not happened
   */
  get atMs(): number | undefined {
    return this.#atMs
  }

  /** Writes audio, as `stream.write()` does. Returns false if the next write has to wait for the stream's `drain`. */
  write(pcm: L16): boolean {
    if (this.#finished || this.#end !== undefined) {
      return this.#deps.refuse(this.#finished && this.#end?.outcome !== 'cleared')
    }
    this.#bytes += pcm.byteLength
    return this.#deps.write(pcm)
  }

  /**
   * Ends the utterance, after it has written `pcm`, if given, so that no more audio follows. `done` resolves when the
   * caller has heard it to its end.
   */
  end(pcm?: L16): void {
    if (pcm !== undefined) this.write(pcm)
    if (this.#finished || this.#end !== undefined) return
    this.#finished = true
    this.#deps.finish(this)
  }

  /** Counts audio of this utterance that was written with `stream.write()`. */
  wrote(bytes: number): void {
    this.#bytes += bytes
  }

  /** Notes that the first audio of the utterance is sent. `startMs`: its position on the scale of `playedMs`. */
  begun(startMs: number): void {
    this.#startMs = startMs
  }

  /** Notes when the caller began to hear the utterance. The track may report this after the utterance has ended. */
  heardFrom(atMs: number): void {
    if (this.#atMs !== undefined) return
    this.#atMs = atMs
    if (this.#end !== undefined) this.#deps.onOver(this, this.#end)
  }

  /** Ends the utterance with an outcome, and resolves `done`. Further calls have no effect. */
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
    // `done` resolves in the next turn, so that an application that starts an utterance in place of each
    // cleared utterance can't block the event loop.
    setImmediate(() => this.#settle(end))
  }

  #heardText(text: string, outcome: MarkOutcome, heardMs: number): string {
    if (outcome === 'playout' && this.#bytes > 0) return text
    const wholeMs = this.#finished ? this.writtenMs : Math.max(this.writtenMs, text.length * LETTER_MS)
    return wholeMs === 0 ? '' : cutAtWord(text, Math.floor((text.length * heardMs) / wholeMs))
  }
}

export interface SpeechDeps {
  /** Returns an utterance for a run of audio outside of any utterance. */
  beginRun: () => Utterance
  /** true if the call is private already */
  isPrivate: boolean
  /** Returns the ms of audio that was sent, on the scale of `playedMs`. */
  sentMs: () => number
  /** Calls `heard` when the caller begins to hear the audio that is sent next, with the ms into the caller's audio. */
  onHeard: (heard: (atMs: number) => void) => void
  /** Calls `end` when the caller has heard all audio that was sent so far, or will never hear it. */
  onEnd: (end: (outcome: MarkOutcome) => void) => void
}

/**
 * The speech that is sent on one stream: utterances, and runs of audio outside of utterances. It also knows whether the
 * call is private. Each utterance and each run ends once, with the first of these events:
 * - the track reports that the caller has heard its end (`onEnd`)
 * - TRACK_PATIENCE has passed since its end by the clock, without a report of the track (`onEnd`)
 * - a clear, or the end of the socket, cuts it off (`cutOff()`)
 */
export class Speech {
  readonly #deps: SpeechDeps
  // Utterances and runs that have begun and not ended, oldest first.
  #open: Utterance[] = []
  // The utterance whose audio is being sent.
  #speaking: Utterance | undefined
  // The run whose audio is being sent.
  #run: Utterance | undefined
  // true while the call is private.
  #private: boolean
  // true while audio is sent that was written in private.
  #sendsPrivate: boolean

  constructor(deps: SpeechDeps) {
    this.#deps = deps
    this.#private = this.#sendsPrivate = deps.isPrivate
  }

  /** true while a run is being sent. */
  get isRun(): boolean {
    return this.#run !== undefined
  }

  /** true while audio is sent that was written in private. */
  get isPrivate(): boolean {
    return this.#sendsPrivate
  }

  /** Begins an utterance, which contains the audio that is sent from now on. */
  begin(utterance: Utterance): void {
    this.endRun()
    utterance.isPrivate ||= this.#private || this.#sendsPrivate
    this.#speaking = utterance
    this.#add(utterance)
  }

  /** Ends the audio of an utterance. The utterance itself ends when the caller has heard that audio. */
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

  /** Notes that the call has become private (true), or is no longer private (false). */
  privacy(isPrivate: boolean): void {
    this.#private = isPrivate
    if (isPrivate) for (const utterance of this.#open) utterance.isPrivate = true
  }

  /** Notes whether the audio that is sent next was written while the call was private. */
  sendsPrivate(isPrivate: boolean): void {
    this.#sendsPrivate = isPrivate
  }

  /** Notes that the queue was dropped, so that the audio that is sent next belongs to no utterance. */
  dropped(): void {
    this.#speaking = undefined
    this.#sendsPrivate = this.#private
  }

  /** Ends all open utterances and runs, since the caller hears no more of them. */
  cutOff(): void {
    const run = this.#run
    this.#run = undefined
    for (const utterance of [...this.#open]) {
      const isHeard = utterance === run && run.heardMs >= run.writtenMs
      this.over(utterance, isHeard ? 'playout' : 'cleared')
    }
  }

  /** Ends an utterance or a run with an outcome. */
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
