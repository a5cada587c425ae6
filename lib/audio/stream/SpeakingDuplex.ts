import { EventEmitter } from 'node:events'
import { Duplex } from 'node:stream'
import type { AudioStreamEvents, MarkOutcome, PlayDone } from '../socket/types.js'
import { ERR_AUDIO_CLOSED } from '../../model/errors.js'
import type { Playback } from '../playback/Playback.js'
import type { PlayOptions } from '../playback/FilePlayback.js'
import type { OutputEntry } from '../../model/schema.js'
import type { Utterance, UtteranceOptions } from '../playback/Utterance.js'

/**
 * Options of an emitter that gives the rejection of an async listener to the stream (`captureRejectionSymbol`): it
 * does not end the process.
 */
export const CAPTURING: object = { captureRejections: true }

type Listener = (...args: unknown[]) => unknown

/** A Duplex whose events are typed, and whose listeners can't end the process. */
export class AudioDuplex extends Duplex {
  readonly #listenerThrew: (err: unknown) => void

  /** `listenerThrew` is told what a listener threw, or rejected with. */
  constructor(listenerThrew: (err: unknown) => void) {
    super(CAPTURING)
    this.#listenerThrew = listenerThrew
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (AWAITED.has(event)) return emitToEach(this, this.#listenerThrew, event, args)
    try {
      return super.emit(event, ...args)
    } catch (err) {
      this.#listenerThrew(err)
      return true
    }
  }

  override [EventEmitter.captureRejectionSymbol](err: Error): void {
    this.#listenerThrew(err)
  }

  override on<E extends keyof AudioStreamEvents>(
    event: E,
    listener: (...args: AudioStreamEvents[E]) => void
  ): this
  override on(event: string | symbol, listener: (...args: never[]) => void): this
  override on(event: string | symbol, listener: (...args: never[]) => void): this {
    return super.on(event, listener as (...args: unknown[]) => void)
  }

  override once<E extends keyof AudioStreamEvents>(
    event: E,
    listener: (...args: AudioStreamEvents[E]) => void
  ): this
  override once(event: string | symbol, listener: (...args: never[]) => void): this
  override once(event: string | symbol, listener: (...args: never[]) => void): this {
    return super.once(event, listener as (...args: unknown[]) => void)
  }

  override [Symbol.asyncIterator](): NodeJS.AsyncIterator<Buffer> {
    return super[Symbol.asyncIterator]() as NodeJS.AsyncIterator<Buffer>
  }
}

/** The events that others wait for (`pipeline`, `finished`): what one listener throws must not keep them from the next. */
export const AWAITED: ReadonlySet<string | symbol> = new Set(['end', 'finish', 'error', 'close'])

/**
 * Emits an event to each listener. What one throws goes to `threw`, and not to whoever emits, which is often a timer or
 * Node itself: there it would end the process.
 */
export function emitToEach(
  emitter: EventEmitter,
  threw: (err: unknown) => void,
  event: string | symbol,
  args: unknown[]
): boolean {
  const listeners = emitter.rawListeners(event) as Listener[]
  if (event === 'error') listeners.unshift(...(emitter.rawListeners(EventEmitter.errorMonitor) as Listener[]))
  for (const listener of listeners) {
    try {
      const result = Reflect.apply(listener, emitter, args)
      if (result instanceof Promise) result.catch(threw)
    } catch (err) {
      threw(err)
    }
  }
  return listeners.length > 0
}

/** ms after which what is asked of a stream whose socket has closed is answered: a loop of it costs next to nothing. */
const ANSWER_DELAY = 20
/** ms that a reader of such a stream may stand still while somebody goes on writing to it. */
const READER_PATIENCE = 30_000

type WriteCallback = (error?: Error | null) => void

/**
 * The writable side of a stream: everything that makes the caller hear something. It is over when the socket has
 * closed. From then on every write fails, and nothing is answered before the event loop has had a turn: a handler
 * that speaks without end must not keep the process from its other calls.
 */
export abstract class SpeakingDuplex extends AudioDuplex {
  #over = false
  // Something that was written will not be heard.
  #cutOff = false
  #refused: WriteCallback[] = []
  #answering: NodeJS.Timeout | undefined
  #unread = -1
  #unreadSince = 0

  protected abstract get playback(): Playback
  /** Ends the stream over what one of the application's functions threw. */
  protected abstract listenerThrew(err: unknown): void

  /** Hz of what is written: the verb's `bidirectionalAudio.sampleRate` */
  get outputSampleRate(): number {
    return this.playback.sampleRate
  }

  /** ms of all that was written and not cleared: where what is written next begins, on the scale of `playedMs` */
  get writtenMs(): number {
    return this.playback.writtenMs
  }

  /** ms of what was written that jambonz has been given; what it threw away at a `clear()` no longer counts. */
  get sentMs(): number {
    return this.playback.sentMs
  }

  /** ms of it that the caller has heard: as far as marks tell, by the clock between them. */
  get playedMs(): number {
    return this.playback.playedMs
  }

  /** ms by which what is written goes out ahead of the caller's ear; true: 400. Default false: up to a minute. */
  get paced(): boolean | number {
    return this.playback.aheadMs > 0 && this.playback.aheadMs
  }

  set paced(ahead: boolean | number) {
    this.playback.pace(ahead)
  }

  /** The utterances that are over, in the order in which they were. */
  get output(): readonly OutputEntry[] {
    return this.playback.output
  }

  /**
   * Begins one thing that is said, behind all that was written so far: what is written to it until its `end()`. The
   * utterance before it ends. `done` tells whether the caller heard it, or how much of it. Throws
   * FST_JAMBONZ_AUDIO_MODE without streaming.
   */
  utterance(options: UtteranceOptions = {}): Utterance {
    return this.playback.utterance(options)
  }

  /** Has the end of what was written played too; happens by itself when nothing follows. */
  flush(): void {
    this.playback.flush(() => {})
  }

  /**
   * Settles when the caller has heard what was written so far, or never will: `clear()`, the end of the listen.
   * Rejects with FST_JAMBONZ_AUDIO_MODE without streaming, and logs it, as nobody need wait for it.
   */
  mark(name: string): Promise<MarkOutcome> {
    return this.playback.mark(name)
  }

  /** Settles all marks as `cleared`; the audio plays on. */
  clearMarks(): void {
    this.playback.clearMarks()
  }

  /**
   * Plays a file: a WAV of any rate, or raw L16. It is converted in small parts, and `audio` may be used again at once. Settles when it has been played or stopped. Rejects with
   * FST_JAMBONZ_AUDIO_MODE with streaming, FST_JAMBONZ_AUDIO_FILE for what can't be played, and logs it, as nobody
   * need wait for it.
   */
  play(audio: Uint8Array, options: PlayOptions = {}): Promise<PlayDone> {
    return this.playback.play(audio, options)
  }

  /** Barge-in: stops what is being played at once and drops what was written or queued. */
  clear(): void {
    this.playback.clear()
  }

  override write(
    chunk: unknown,
    encoding?: BufferEncoding | WriteCallback,
    callback?: WriteCallback
  ): boolean {
    const done = typeof encoding === 'function' ? encoding : callback
    if (this.#over) {
      this.#cutOff = true
      this.#answer((error) => done?.(error))
      return false
    }
    const isAlone = done === undefined && this.writableLength === 0 && this.writableCorked === 0
    if (isAlone && Buffer.isBuffer(chunk) && this.writable && this.playback.sendNow(chunk)) return true
    const told =
      done && ((error?: Error | null) => done(error ?? (this.#over ? new ERR_AUDIO_CLOSED() : null)))
    return typeof encoding === 'string' ? super.write(chunk, encoding, told) : super.write(chunk, told)
  }

  override end(callback?: () => void): this
  override end(chunk: unknown, callback?: () => void): this
  override end(chunk: unknown, encoding?: BufferEncoding, callback?: () => void): this
  override end(chunk?: unknown, encoding?: BufferEncoding | (() => void), callback?: () => void): this {
    if (!this.#over || chunk === undefined || chunk === null || typeof chunk === 'function') {
      return super.end(chunk, encoding as BufferEncoding, callback)
    }
    this.write(chunk)
    return super.end(typeof encoding === 'function' ? encoding : callback)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    this.playback.write(chunk, callback)
  }

  override _final(callback: () => void): void {
    this.playback.flush(callback)
  }

  /** The socket has closed: the caller hears nothing more. `cutOff`: some of what was written was not heard. */
  protected speechOver(cutOff: boolean): void {
    if (this.#over) return
    this.#over = true
    this.#cutOff = cutOff
  }

  /** Resolves a moment later. */
  protected readonly afterEnd = (): Promise<void> =>
    new Promise((resolve) => {
      this.#answer(() => resolve())
    })

  /** Everything was read: destroys the stream, unless whoever reads ends it right now. */
  protected readonly readToEnd = (): void => {
    const timer = setTimeout(() => {
      if (this.#cutOff && !this.writableEnded) this.destroy()
      else super.end()
    }, ANSWER_DELAY)
    this.once('close', () => clearTimeout(timer))
  }

  #answer(callback: WriteCallback): void {
    this.#refused.push(callback)
    this.#answering ??= setTimeout(() => {
      this.#answering = undefined
      const refused = this.#refused
      this.#refused = []
      try {
        const error = new ERR_AUDIO_CLOSED()
        for (const each of refused) each(error)
        // Whoever waits for room: while there is a reader, the stream is open; after that only an error reaches him.
        if (this.listenerCount('drain') > 0) this.#wakeWriters(error)
      } catch (err) {
        this.listenerThrew(err)
      }
      this.#watchReader()
    }, ANSWER_DELAY)
  }

  #wakeWriters(error: Error): void {
    if (this.closed) this.emit('error', error)
    else this.emit('drain')
  }

  // What is left for a reader keeps the stream open, and with it a handler that writes until it is destroyed.
  #watchReader(): void {
    const now = performance.now()
    if (this.readableLength !== this.#unread) {
      this.#unread = this.readableLength
      this.#unreadSince = now
    } else if (now - this.#unreadSince > READER_PATIENCE) this.destroy()
  }
}
