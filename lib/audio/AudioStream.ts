import { Duplex } from 'node:stream'
import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import type { AudioCounts, Call, EndReason, Listen, MixType } from '../calls/schema.js'
import type { Recorder } from '../recording/index.js'
import { BATCH_INTERVAL } from './BatchWheel.js'
import { endReasonOf } from './endReason.js'
import { Ending } from './Ending.js'
import { Flow, IDENTIFYING } from './Flow.js'
import { beat } from './Heartbeat.js'
import { Intake } from './Intake.js'
import { readMessage } from './messages.js'
import { Opening, type Identify, type Opened } from './Opening.js'
import { ReaderSide } from './ReaderSide.js'
import { TextLimit } from './TextLimit.js'
import type { AudioSink, AudioStreamEvents, SinkOptions, StreamEnd, StreamLimits } from './types.js'
import { CLOSE_BAD_START, CLOSE_NORMAL, CLOSE_OUR_FAULT, CLOSE_TOO_BIG } from './wire.js'

export interface AudioStreamOptions {
  /** open; every listener is attached before the constructor returns */
  socket: WebSocket
  /** known where the socket's path named the listen */
  call?: Call
  listen?: Listen
  /** asked once otherwise, with the first frame's metadata; a rejection closes the socket with 1008 */
  identify?: Identify
  /** called once, synchronously, before any audio is delivered: sinks and the handler attach here */
  begin: (stream: AudioStream) => void
  limits: StreamLimits
  logger: FastifyBaseLogger
}

/**
 * One listen's audio: a Duplex of raw L16 little-endian PCM. Read it as any stream; nothing is kept for a reader
 * that is not there. Destroying it (also by leaving a `for await`) ends the listen.
 */
export class AudioStream extends Duplex {
  /** What is recorded of it, where the route records. */
  recording?: Recorder
  /** The keys that ended the listen. */
  digits?: string
  call!: Call
  listen!: Listen
  /** What the first frame said, and over it what the verb's `metadata` was: right even where the frame came broken. */
  metadata: Record<string, unknown> | undefined
  readonly #socket: WebSocket
  readonly #limits: StreamLimits
  readonly #begin: (stream: AudioStream) => void
  readonly #flow: Flow
  readonly #ending: Ending
  readonly #opening: Opening
  readonly #reader: ReaderSide
  readonly #texts = new TextLimit()
  readonly #stopHeartbeat: () => void
  #logger: FastifyBaseLogger
  #intake!: Intake
  #streaming = false
  #tapped = false
  #liveSinks = 0
  #startedAt = 0
  #key: { digit: string, at: number } | undefined

  constructor ({ socket, call, listen, identify, begin, limits, logger }: AudioStreamOptions) {
    super()
    this.#socket = socket
    this.#limits = limits
    this.#logger = logger
    this.#begin = begin
    const known = call && listen && { call, listen }
    if (known) this.#know(known)
    this.#flow = new Flow(socket)
    this.#ending = new Ending(socket, () => this.#flow.force())
    this.#reader = new ReaderSide(this, this.#flow, limits.maxBuffered, logger)
    this.#opening = new Opening(known, identify, limits.metadataTimeout, {
      pause: () => this.#flow.hold(IDENTIFYING),
      resume: () => this.#flow.release(IDENTIFYING),
      opened: (opened, metadata) => this.#opened(opened, metadata),
      failed: (error) => this.#refuse(error),
      replay: (data, isBinary) => this.#message(data, isBinary)
    }, logger)
    this.#stopHeartbeat = beat(limits.heartbeat, {
      socket,
      isRead: () => !this.#flow.waitsForReader,
      lost: () => this.#ending.abandon('lost')
    })
    socket.on('message', (data, isBinary) => this.#message(data as Buffer, isBinary))
    socket.on('error', (err) => this.#ending.broken(err))
    socket.on('close', (code) => this.#closed(code))
    this.on('newListener', (event) => this.#attached(event))
    this.on('removeListener', () => this.#updateTaps())
    // Leaving a `for await` aborts the stream: why is for the one who left to say.
    this.on('error', (err) => { if (err.name !== 'AbortError') this.#logger.error({ err }, 'audio stream failed') })
  }

  get callSid (): string {
    return this.call?.callSid
  }

  /** Hz */
  get sampleRate (): number {
    return this.listen.sampleRate
  }

  get channels (): number {
    return this.listen.channels
  }

  get mixType (): MixType {
    return this.listen.mixType
  }

  /** What has arrived so far. */
  get counts (): AudioCounts {
    return this.#intake?.counts ?? { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 }
  }

  /** Settles, never rejects, when the socket has closed and its last frame is with the sinks. */
  get done (): Promise<StreamEnd> {
    return this.#ending.done
  }

  /** Feeds a sink from the next frame on. Returns what removes it. */
  addSink (sink: AudioSink, { live = true }: SinkOptions = {}): () => void {
    this.#intake.add(sink)
    if (live) this.#liveSinks++
    this.#updateFlow()
    let added = true
    return () => {
      if (!added) return
      added = false
      this.#intake.remove(sink)
      if (live) this.#liveSinks--
      this.#updateFlow()
    }
  }

  /** Keeps the audio for a reader that `promise` is still preparing: up to 10 s of it. */
  holdFor (promise: Promise<unknown>): void {
    this.#reader.keepUntil(promise, 10_000 * this.#intake.bytesPerMs)
  }

  /** Reads at once, and on until the end, whatever stands against it: somebody waits for `done`. */
  nudge (): void {
    this.#flow.force()
  }

  /** Ends the listen: jambonz closes the socket and calls the actionHook. */
  disconnect (): Promise<StreamEnd> {
    return this.stop('disconnected')
  }

  /** Ends the listen for a reason. Settles within 4 s, also when jambonz does not react. */
  stop (reason: EndReason): Promise<StreamEnd> {
    return this.#ending.stop(reason)
  }

  /** Closes the socket from our side with a code and a text of at most 123 bytes. */
  stopNow (reason: EndReason, closeCode: number, text: string): void {
    this.#ending.stopNow(reason, closeCode, text)
  }

  /** Sends JSON of your own to jambonz. */
  send (json: unknown): void {
    this.#socket.send(JSON.stringify(json))
  }

  override on<E extends keyof AudioStreamEvents> (event: E, listener: (...args: AudioStreamEvents[E]) => void): this
  override on (event: string | symbol, listener: (...args: never[]) => void): this
  override on (event: string | symbol, listener: (...args: never[]) => void): this {
    return super.on(event, listener as (...args: unknown[]) => void)
  }

  override once<E extends keyof AudioStreamEvents> (event: E, listener: (...args: AudioStreamEvents[E]) => void): this
  override once (event: string | symbol, listener: (...args: never[]) => void): this
  override once (event: string | symbol, listener: (...args: never[]) => void): this {
    return super.once(event, listener as (...args: unknown[]) => void)
  }

  override _read (): void {
    this.#reader.wanted()
  }

  override read (size?: number): Buffer | null {
    if (size !== 0) this.#readBy()
    return super.read(size) as Buffer | null
  }

  override _write (chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#socket.send(chunk, callback)
  }

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    this.#reader.end()
    if (error) this.#ending.stopNow('error', CLOSE_OUR_FAULT, 'the audio was not handled', error)
    else this.#ending.stop('disconnected')
    callback(error)
  }

  // The hot path: from ws to the sinks, 50 times a second and call.
  #message (data: Buffer, isBinary: boolean): void {
    if (!this.#streaming) return this.#opening.message(data, isBinary)
    if (!isBinary) return this.#text(data)
    if (data.length === 0) return this.#ending.stopNow('closed', CLOSE_NORMAL, '')
    if (data.length > this.#limits.maxPayload) return this.#tooBig(data)
    const frame = this.#intake.take(data, performance.now())
    try {
      if (this.#tapped) this.emit('audio', frame)
      if (this.#reader.takes) this.#reader.push(frame)
    } catch (err) {
      this.#listenerThrew(err)
    }
  }

  #text (data: Buffer): void {
    if (!this.#texts.allow(performance.now())) {
      if (this.#texts.justExceeded) this.#logger.warn('jambonz floods the socket with text: what is over 500 messages a second is ignored')
      return
    }
    const message = readMessage(data)
    switch (message.type) {
      case 'dtmf':
        this.#key = { digit: message.dtmf.digit, at: performance.now() }
        return this.#tell('dtmf', message.dtmf)
      case 'mark':
        return this.#tell('mark', message.mark)
      case 'playDone':
        return
      case 'other':
        return this.#tell('message', message.message)
      case 'invalid':
        if (this.#texts.firstInvalid()) this.#logger.warn(`text from jambonz is ignored: ${message.reason}`)
    }
  }

  #tell<E extends keyof AudioStreamEvents> (event: E, ...args: AudioStreamEvents[E]): void {
    try {
      this.emit(event, ...args)
    } catch (err) {
      this.#listenerThrew(err)
    }
  }

  // A listener's exception must not reach ws, and through it the process.
  #listenerThrew (err: unknown): void {
    this.#logger.error({ err }, 'a listener of the audio stream threw: its stream ends')
    this.#ending.stopNow('error', CLOSE_OUR_FAULT, 'audio listener failed', err instanceof Error ? err : undefined)
  }

  #tooBig (data: Buffer): void {
    this.#logger.warn(`a message of ${data.length} bytes is over limits.maxPayload, ${this.#limits.maxPayload}`)
    this.#ending.stopNow('error', CLOSE_TOO_BIG, 'message too big')
  }

  #know ({ call, listen }: Opened): void {
    this.call = call
    this.listen = listen
    this.#intake = new Intake(listen.sampleRate, listen.channels)
  }

  #opened (opened: Opened, metadata: Record<string, unknown> | undefined): void {
    if (!this.listen) {
      this.#know(opened)
      this.#logger = this.#logger.child({ callSid: opened.call.callSid, listenId: opened.listen.id })
    }
    if (metadata || opened.listen.metadata) this.metadata = { ...metadata, ...opened.listen.metadata }
    this.#streaming = true
    this.#startedAt = performance.now()
    try {
      this.#begin(this)
      this.#updateFlow()
    } catch (err) {
      this.#logger.error({ err }, 'the audio stream could not begin')
      this.#ending.stopNow('error', CLOSE_OUR_FAULT, 'could not begin', err instanceof Error ? err : undefined)
    }
  }

  #refuse (error: Error): void {
    this.#logger.warn({ err: error }, 'audio socket refused')
    this.#flow.release(IDENTIFYING)
    this.#ending.stopNow('error', CLOSE_BAD_START, error.message.slice(0, 100), error)
  }

  #attached (event: string | symbol): void {
    if (event === 'data' || event === 'readable') this.#readBy()
    else if (event === 'audio') {
      this.#tapped = true
      this.#updateFlow()
    }
  }

  #updateTaps (): void {
    this.#tapped = this.listenerCount('audio') > 0
    this.#updateFlow()
  }

  #readBy (): void {
    if (this.#reader.arrive()) this.#updateFlow()
  }

  #updateFlow (): void {
    if (!this.#streaming) return
    if (this.#tapped || this.#liveSinks > 0 || this.#reader.reading) this.#flow.live()
    else this.#flow.batch()
    this.#intake.gaps.batchMs = this.#flow.batched ? BATCH_INTERVAL : 0
  }

  #closed (closeCode: number): void {
    this.#stopHeartbeat()
    this.#opening.end()
    this.#flow.end()
    this.#intake?.end()
    const now = performance.now()
    const { durationMs, gapMs } = this.counts
    const reason = endReasonOf({
      closeCode,
      listen: this.listen,
      lengthMs: Math.max(durationMs + gapMs, this.#streaming ? now - this.#startedAt : 0),
      ...(this.#key && { key: { digit: this.#key.digit, agoMs: now - this.#key.at } })
    })
    if (reason === 'finishOnKey') this.digits ??= this.#key?.digit
    this.#ending.closed(closeCode, reason)
    this.#reader.socketClosed()
  }
}
