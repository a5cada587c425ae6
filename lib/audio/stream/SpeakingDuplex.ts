import { EventEmitter } from 'node:events'
import { Duplex } from 'node:stream'
import type { AudioStreamEvents, MarkOutcome, PlayDone } from '../socket/types.js'
import { kindOf } from '../../model/checkOptions.js'
import { isThenable } from '../../model/json.js'
import { ERR_AUDIO_CLOSED, ERR_AUDIO_FILE } from '../../model/errors.js'
import { l16Of, type L16 } from '../../pcm/samples.js'
import type { Playback } from '../playback/Playback.js'
import type { PlayOptions } from '../playback/FilePlayback.js'
import type { OutputEntry } from '../../model/schema.js'
import type { Utterance, UtteranceOptions } from '../playback/Utterance.js'

/**
 * Options of an emitter whose async listeners may reject. A rejection goes to the method
 * `captureRejectionSymbol` of the stream, and does not end the process.
 */
export const CAPTURING: object = { captureRejections: true }

type Listener = (...args: unknown[]) => unknown

/**
 * A Duplex with typed events; a misspelled event is a type error. An error of a listener does not end the process.
 */
export class AudioDuplex extends Duplex {
  readonly #listenerThrew: (err: unknown) => void

  /** `listenerThrew` gets the error of a listener that throws or rejects. */
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
    listener: (...args: AudioStreamEvents[E]) => unknown
  ): this
  override on(event: string | symbol, listener: (...args: never[]) => void): this {
    return super.on(event, listener as (...args: unknown[]) => void)
  }

  override once<E extends keyof AudioStreamEvents>(
    event: E,
    listener: (...args: AudioStreamEvents[E]) => unknown
  ): this
  override once(event: string | symbol, listener: (...args: never[]) => void): this {
    return super.once(event, listener as (...args: unknown[]) => void)
  }

  override [Symbol.asyncIterator](): NodeJS.AsyncIterator<Buffer> {
    return super[Symbol.asyncIterator]() as NodeJS.AsyncIterator<Buffer>
  }
}

/**
 * Events that `pipeline()` and `finished()` wait for. Each listener gets them, even if an earlier listener
 * throws.
 */
export const AWAITED: ReadonlySet<string | symbol> = new Set(['end', 'finish', 'error', 'close'])

/**
 * Emits an event to each listener. An error of a listener goes to `threw`. The error must not reach the code
 * that emits, which is often a timer or Node itself, since there it would end the process.
 */
export function emitToEach(
  emitter: EventEmitter,
  threw: (err: unknown) => void,
  event: string | symbol,
  args: unknown[]
): boolean {
  const listeners = emitter.rawListeners(event) as Listener[]
  if (event === 'error') listeners.unshift(...(emitter.rawListeners(EventEmitter.errorMonitor) as Listener[]))
  for (const listener of listeners) callOut(() => Reflect.apply(listener, emitter, args), threw)
  return listeners.length > 0
}

/** Calls a function of the application. If it throws or rejects, its error goes to `threw`. */
function callOut(call: () => unknown, threw: (err: unknown) => void): void {
  try {
    const result = call()
    if (isThenable(result)) Promise.resolve(result).catch(threw)
  } catch (err) {
    threw(err)
  }
}

/** ms after which methods of a stream whose socket has closed settle, so that a loop of such method calls is cheap. */
const ANSWER_DELAY = 20
/**
 * maximum ms for which the reader may read nothing after the socket has closed, while a handler still writes
 */
const READER_PATIENCE = 30_000

type WriteCallback = (error?: Error | null) => void

/**
 * The writable side of a stream, with all audio that the caller hears. When the socket has closed, every
 * write fails. The error then comes after a short delay, so that a handler that writes in an endless loop
 * can't block other calls.
 */
export abstract class SpeakingDuplex extends AudioDuplex {
  #over = false
  // Some of the audio that was written will not be heard.
  #cutOff = false
  #refused: WriteCallback[] = []
  #answering: NodeJS.Timeout | undefined
  #unread = -1
  #unreadSince = 0

  // True from when `write()` has returned false until `drain`, also after the end. A web stream of Node.js 24 or later
  // looks at this before it waits, and would otherwise write to a closed stream in an endless loop. This is no `get`,
  // since the types of Node declare a property.
  static {
    Object.defineProperty(this.prototype, 'writableNeedDrain', {
      get(this: SpeakingDuplex) {
        return this.#refused.length > 0 || Reflect.get(Duplex.prototype, 'writableNeedDrain', this)
      }
    })
  }

  protected abstract get playback(): Playback
  /** Ends the stream because a function of the application threw. */
  protected abstract listenerThrew(err: unknown): void

  /** Hz of the audio that is written, which is the verb's `bidirectionalAudio.sampleRate` */
  get outputSampleRate(): number {
    return this.playback.sampleRate
  }

  /**
   * ms of audio that was written and not cleared. The next audio that is written begins here, on the scale of
   * `playedMs`.
   */
  get writtenMs(): number {
    return this.playback.writtenMs
  }

  /** ms of the written audio that was sent to jambonz; audio that a `clear()` threw away no longer counts. */
  get sentMs(): number {
    return this.playback.sentMs
  }

  /**
   * ms of the sent audio that the caller has heard, as marks report it, and by the clock between two marks.
   */
  get playedMs(): number {
    return this.playback.playedMs
  }

  /**
   * ms by which audio is sent ahead of its playout; true stands for 400. Default: false, for up to a minute
   */
  get paced(): boolean | number {
    return this.playback.aheadMs > 0 && this.playback.aheadMs
  }

  set paced(ahead: boolean | number) {
    this.playback.pace(ahead)
  }

  /** The utterances and the runs of plain `write()`s that have ended, in the order of their ends. */
  get output(): readonly OutputEntry[] {
    return this.playback.output
  }

  /**
   * Begins an utterance, behind all audio that was written so far, and ends the utterance before it. The
   * utterance contains the audio that is written to it until its `end()`. Its `done` tells how much of it the
   * caller heard. Throws FST_JAMBONZ_AUDIO_MODE if the verb does not stream.
   */
  utterance(options: UtteranceOptions = {}): Utterance {
    return this.playback.utterance(options)
  }

  /** Makes jambonz play the written audio to its end. This happens by itself when no more audio follows. */
  flush(): void {
    this.playback.flush(() => {})
  }

  /**
   * Resolves to `playout` when the caller has heard the audio that was written so far. Resolves to `cleared`
   * if the caller will never hear it, after `clear()` or at the end of the listen. Rejects with
   * FST_JAMBONZ_AUDIO_MODE if the verb does not stream. The error is also logged, and may be left unhandled.
   */
  mark(name: string): Promise<MarkOutcome> {
    return this.playback.mark(name)
  }

  /** Resolves all marks to `cleared`. The audio plays on. */
  clearMarks(): void {
    this.playback.clearMarks()
  }

  /**
   * Plays a file: a WAV of any rate, an MP3, or raw L16. `audio` is copied, so it may be changed at once.
   * Resolves when the file has been played or stopped. Rejects with FST_JAMBONZ_AUDIO_MODE if the verb
   * streams, and with FST_JAMBONZ_AUDIO_FILE for a file that can't be played. The error is also logged, and
   * may be left unhandled.
   */
  play(audio: Uint8Array, options: PlayOptions = {}): Promise<PlayDone> {
    return this.playback.play(audio, options)
  }

  /** Stops the playback at once, and drops everything that was written or queued. For barge-in. */
  clear(): void {
    this.playback.clear()
  }

  /**
   * Writes L16 audio, which the caller hears. Anything else would be noise, so it destroys the stream with
   * FST_JAMBONZ_AUDIO_FILE.
   */
  override write(chunk: L16, callback?: WriteCallback): boolean
  // No call matches this signature. With it, the stream has the type of Node's streams, which take text, too.
  override write(chunk: never, encoding?: BufferEncoding | WriteCallback, callback?: WriteCallback): boolean
  override write(chunk: L16, encoding: BufferEncoding | undefined, callback?: WriteCallback): boolean
  override write(
    chunk: unknown,
    encoding?: BufferEncoding | WriteCallback,
    callback?: WriteCallback
  ): boolean {
    const called = typeof encoding === 'function' ? encoding : callback
    const done = called && ((error?: Error | null) => this.#callBack(called, error))
    if (this.#over) {
      this.#cutOff = true
      this.#answer((error) => done?.(error))
      return false
    }
    const isAlone = done === undefined && this.writableLength === 0 && this.writableCorked === 0
    if (isAlone && Buffer.isBuffer(chunk) && this.writable && this.playback.sendNow(chunk)) return true
    const pcm = l16Of(chunk)
    return pcm === undefined ? this.#refuse(chunk, done) : super.write(pcm, done)
  }

  override end(callback?: () => void): this
  override end(chunk: L16, callback?: () => void): this
  override end(chunk: never, encoding?: BufferEncoding | (() => void), callback?: () => void): this
  override end(chunk: L16 | undefined, encoding: BufferEncoding | undefined, callback?: () => void): this
  override end(chunk?: unknown, encoding?: BufferEncoding | (() => void), callback?: () => void): this {
    if (chunk === undefined || chunk === null || typeof chunk === 'function') {
      return super.end(chunk, encoding as BufferEncoding, callback)
    }
    const pcm = this.#over ? undefined : l16Of(chunk)
    if (pcm !== undefined) return super.end(pcm, encoding as BufferEncoding, callback)
    // A value that is no audio: write() refuses it.
    this.write(chunk as L16)
    return super.end(typeof encoding === 'function' ? encoding : callback)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    this.playback.write(chunk, callback)
  }

  override _final(callback: () => void): void {
    this.playback.flush(callback)
  }

  /**
   * Ends the writable side, since the socket has closed. `cutOff`: true if the caller did not hear all
   * written audio.
   */
  protected speechOver(cutOff: boolean): void {
    if (this.#over) return
    this.#over = true
    this.#cutOff = cutOff
  }

  /** Resolves after ANSWER_DELAY ms. */
  protected readonly afterEnd = (): Promise<void> =>
    new Promise((resolve) => {
      this.#answer(() => resolve())
    })

  /** Ends or destroys the stream after everything was read, unless its reader does so first. */
  protected readonly readToEnd = (): void => {
    const timer = setTimeout(() => {
      if (this.#cutOff && !this.writableEnded) this.destroy()
      else super.end()
    }, ANSWER_DELAY)
    this.once('close', () => clearTimeout(timer))
  }

  #refuse(chunk: unknown, done: WriteCallback | undefined): false {
    const error = new ERR_AUDIO_FILE(
      `it is ${kindOf(chunk)}; write L16 samples: a Buffer, a Uint8Array or an Int16Array`
    )
    this.destroy(error)
    if (done) process.nextTick(done, error)
    return false
  }

  #callBack(called: WriteCallback, error: Error | null | undefined): void {
    const given = error ?? (this.#over ? new ERR_AUDIO_CLOSED() : null)
    callOut(
      () => called(given),
      (err) => this.listenerThrew(err)
    )
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
        // Writers that wait for room get `drain` while the stream is open, and an error after that.
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

  // Destroys the stream if its reader has stopped. Otherwise, a handler that writes until the stream is
  // destroyed would never end.
  #watchReader(): void {
    const now = performance.now()
    if (this.readableLength !== this.#unread) {
      this.#unread = this.readableLength
      this.#unreadSince = now
    } else if (now - this.#unreadSince > READER_PATIENCE) this.destroy()
  }
}
