import { EventEmitter } from 'node:events'
import type { Readable } from 'node:stream'
import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import type { AudioCounts, Call, EndReason, Listen, MixType } from '../../model/schema.js'
import { ERR_AUDIO_CHANNEL, ERR_AUDIO_CLOSED } from '../../model/errors.js'
import type { RecordingControl } from './RecordingControl.js'
import { CHANNEL_NAMES, ChannelReader, type ChannelName } from './ChannelReader.js'
import { Connection } from '../socket/Connection.js'
import type { AudioMessage } from '../socket/messages.js'
import type { Identify } from '../socket/Opening.js'
import { Output } from '../playback/Output.js'
import { ReaderSide } from './ReaderSide.js'
import { SpeakingDuplex } from './SpeakingDuplex.js'
import type { AudioSink, AudioStreamEvents, SinkOptions, StreamEnd, StreamLimits } from '../socket/types.js'
import { CLOSE_OUR_FAULT } from '../socket/wire.js'

/** ms of audio kept for a reader that its handler is still preparing. */
const KEPT_MS = 10_000

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
 * One listen's audio, a Duplex of raw L16 little-endian PCM: what is read is the call, what is written the caller
 * hears. Nothing is kept for a reader that is not there; one that is too slow pauses the socket. Destroying it, also
 * by leaving a `for await`, ends the listen.
 */
export class AudioStream extends SpeakingDuplex {
  /** What is recorded of it, where the route records. */
  recording?: RecordingControl
  /** The key that ended the listen. */
  digits?: string
  /** What the first frame said, and over it the verb's own `metadata`: right even where the frame came broken. */
  metadata: Record<string, unknown> | undefined
  readonly #connection: Connection
  readonly #reader: ReaderSide
  readonly #maxBuffered: number
  readonly #begin: (stream: AudioStream) => void
  readonly #channelReaders = new Set<ChannelReader>()
  #output: Output | undefined
  #tapped = false
  #heard = false

  constructor({ socket, call, listen, identify, begin, limits, logger }: AudioStreamOptions) {
    super()
    this.setMaxListeners(0) // any number of taps
    this.#begin = begin
    this.#maxBuffered = limits.maxBuffered
    this.#connection = new Connection(
      { socket, known: call && listen && { call, listen }, identify, limits, logger },
      {
        begin: (metadata) => this.#started(metadata),
        frame: (frame) => this.#frame(frame),
        takesFrames: () => this.#takesFrames,
        message: (message) => this.#message(message),
        closed: (reason, key) => this.#closed(reason, key)
      }
    )
    this.#reader = new ReaderSide(this, this.#connection.flow, limits.maxBuffered, this.#connection)
    this.on('newListener', (event) => this.#listened(event))
    this.on('removeListener', () => {
      if (this.listenerCount('audio') === 0) this.#tap(false)
      if (this.listenerCount('dtmf') + this.listenerCount('message') === 0) this.#hear(false)
    })
    this.on('error', (err) => {
      if (!(err instanceof ERR_AUDIO_CLOSED)) this.#connection.logger.error({ err }, 'audio stream failed')
    })
  }

  override [EventEmitter.captureRejectionSymbol](err: Error): void {
    this.#connection.listenerThrew(err)
  }

  get call(): Call {
    return this.#connection.opened?.call as Call
  }

  get listen(): Listen {
    return this.#connection.opened?.listen as Listen
  }

  /** The listen as it is known by now. */
  set listen(listen: Listen) {
    this.#connection.opened = { call: this.call, listen }
  }

  get callSid(): string {
    return this.call.callSid
  }

  /** Hz of what is read */
  get sampleRate(): number {
    return this.listen.sampleRate
  }

  get channels(): number {
    return this.listen.channels
  }

  get mixType(): MixType {
    return this.listen.mixType
  }

  /** What has arrived so far. */
  get counts(): AudioCounts {
    return this.#connection.counts
  }

  /** Settles, never rejects, when the socket has closed and its last frame is with the sinks. */
  get done(): Promise<StreamEnd> {
    return this.#connection.done
  }

  /** Feeds a sink from the next frame on. Returns what removes it. */
  addSink(sink: AudioSink, { live = true }: SinkOptions = {}): () => void {
    this.#connection.addSink(sink)
    const release = live ? this.keepLive() : () => {}
    return () => {
      this.#connection.removeSink(sink)
      release()
    }
  }

  /** Has audio and keys delivered as they come rather than in batches. Returns what ends that. */
  keepLive(): () => void {
    this.#connection.live(true)
    let kept = true
    return () => {
      if (kept) this.#connection.live(false)
      kept = false
    }
  }

  /** Has the sinks take now what was said up to now, also where they are fed in batches. */
  catchUp(): void {
    this.#connection.flow.catchUp()
  }

  /** Keeps the audio for a reader that `promise` is still preparing: up to 10 s of it. */
  holdFor(promise: Promise<unknown>): void {
    this.#reader.keepUntil(promise, KEPT_MS * this.#connection.bytesPerMs)
  }

  /** Reads at once, and on until the end, whatever stands against it: somebody waits for `done`. */
  nudge(): void {
    this.#connection.flow.force()
  }

  /**
   * One side of a stereo stream as mono L16, kept for its reader from now on. Of a mono stream `caller` is all there
   * is. Raises FST_JAMBONZ_AUDIO_CHANNEL.
   */
  channel(name: ChannelName): Readable {
    const mono = this.mixType === 'mono' && name === 'caller'
    if (!CHANNEL_NAMES.includes(name)) {
      throw new ERR_AUDIO_CHANNEL(`there is no channel "${name}": it is 'caller' or 'callee'`)
    }
    if (this.mixType !== 'stereo' && !mono) {
      throw new ERR_AUDIO_CHANNEL(
        `a ${this.mixType} stream has no channel "${name}": the listen verb must say mixType: 'stereo'`
      )
    }
    const release = this.keepLive()
    const reader = new ChannelReader(mono ? 'whole' : name, this.#connection, this.#maxBuffered, () => {
      this.#channelReaders.delete(reader)
      release()
    })
    this.#channelReaders.add(reader)
    return reader
  }

  /** Sends JSON of your own to jambonz. */
  send(json: unknown): void {
    this.#connection.send(JSON.stringify(json))
  }

  /** Ends the listen: jambonz closes the socket and calls the actionHook. */
  disconnect(): Promise<StreamEnd> {
    return this.stop('disconnected')
  }

  /** Ends the listen for a reason. Settles within 4 s, also when jambonz does not react. */
  stop(reason: EndReason): Promise<StreamEnd> {
    return this.#connection.ending.stop(reason)
  }

  /** Closes the socket from our side with a code and a text of at most 123 bytes. */
  stopNow(reason: EndReason, closeCode: number, text: string): void {
    this.#connection.ending.stopNow(reason, closeCode, text)
  }

  override _read(): void {
    this.#reader.wanted()
  }

  override read(size?: number): Buffer | null {
    if (size !== 0) this.#readBy()
    return super.read(size) as Buffer | null
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#reader.end()
    this.#speechOver()
    // Who leaves a `for await` or aborts a pipeline has had enough, no trouble.
    const failed = error?.name === 'AbortError' ? null : error
    if (failed) this.#connection.ending.stopNow('error', CLOSE_OUR_FAULT, 'the audio was not handled', failed)
    else this.stop('disconnected')
    callback(failed)
  }

  protected get output(): Output {
    this.#output ??= new Output(this.#connection, this.listen, () => this.writableLength, {
      onMark: (mark) => this.#tell('mark', mark),
      onPlayDone: (done) => this.#tell('playDone', done),
      afterEnd: this.afterEnd
    })
    return this.#output
  }

  protected listenerThrew(err: unknown): void {
    this.#connection.listenerThrew(err)
  }

  #speechOver(): void {
    this.speechOver(this.writableLength > 0)
    this.#output?.end()
  }

  #started(metadata: Record<string, unknown> | undefined): void {
    if (metadata ?? this.listen.metadata) this.metadata = { ...metadata, ...this.listen.metadata }
    this.#begin(this)
  }

  get #takesFrames(): boolean {
    return this.#tapped || this.#reader.takes || this.#channelReaders.size > 0
  }

  #frame(frame: Buffer): void {
    if (this.#tapped) this.emit('audio', frame)
    if (this.#reader.takes) this.#reader.push(frame)
    if (this.#channelReaders.size > 0) for (const channel of this.#channelReaders) channel.frame(frame)
  }

  #message(message: AudioMessage): void {
    if (message.type === 'dtmf') this.emit('dtmf', message.dtmf)
    else if (message.type === 'other') this.emit('message', message.message)
    else this.output.message(message)
  }

  // From timers too: what a listener throws must end this stream, not the process.
  #tell<E extends 'mark' | 'playDone'>(event: E, ...args: AudioStreamEvents[E]): void {
    try {
      this.emit(event, ...args)
    } catch (err) {
      this.#connection.listenerThrew(err)
    }
  }

  #listened(event: string | symbol): void {
    if (event === 'data' || event === 'readable') this.#readBy()
    else if (event === 'audio') this.#tap(true)
    else if (event === 'dtmf' || event === 'message') this.#hear(true)
  }

  // Who waits for keys wants them when they are pressed.
  #hear(heard: boolean): void {
    if (this.#heard === heard) return
    this.#heard = heard
    this.#connection.live(heard)
  }

  #tap(tapped: boolean): void {
    if (this.#tapped === tapped) return
    this.#tapped = tapped
    this.#connection.live(tapped)
  }

  #readBy(): void {
    if (this.#reader.arrive()) this.#connection.live(true)
  }

  #closed(reason: EndReason, key: string | undefined): void {
    if (reason === 'finishOnKey') this.digits ??= key
    this.#speechOver()
    if (this.readableEnded) this.readToEnd()
    else this.once('end', this.readToEnd)
    this.#reader.socketClosed()
    for (const channel of this.#channelReaders) channel.socketClosed()
  }
}
