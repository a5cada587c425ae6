import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import type { AudioCounts, Call, EndReason, Listen, OutputEntry, PauseMode } from '../../model/schema.js'
import { Playback } from '../playback/Playback.js'
import { CLOSE, type CloseCode } from '../socket/SocketEnd.js'
import { ListenSocket } from '../socket/ListenSocket.js'
import type { AudioMessage } from '../socket/messages.js'
import type { SlowReason } from '../socket/frames/SocketReader.js'
import type { Identify } from '../socket/SocketOpening.js'
import type { AudioSink, AudioStreamEvents, SinkOptions, StreamEnd, StreamLimits } from '../socket/types.js'
import { AudioStream } from './AudioStream.js'
import { ReaderSide, type ChannelReader } from './readers.js'

/** ms of audio that is kept while a handler is still preparing to read. */
const KEPT_MS = 10_000

export interface LiveStreamOptions {
  /** an open websocket; the constructor attaches every listener before it returns */
  socket: WebSocket
  /** known if the socket's path named the listen */
  call?: Call
  listen?: Listen
  /**
   * Finds the listen if the socket's path did not name it. Called once, with the metadata of the first frame.
   * If the promise rejects, the socket closes with 1008.
   */
  identify?: Identify
  /** called once, before any audio is delivered, to attach sinks and the handler at once */
  begin: (live: LiveStream, stream: AudioStream) => void
  limits: StreamLimits
  /** ms, as of `performance.now()`, when jambonz requested the socket, and began to listen. Default: now */
  requestedAt?: number
  logger: FastifyBaseLogger
}

/** The writable side of an AudioStream, as LiveStream uses it. */
export interface WritableSide {
  /**
   * Ends the writable side, since the socket has closed. `cutOff`: true if the caller did not hear all
   * written audio.
   */
  over(cutOff: boolean): void
  /** Resolves after a short delay, since calls after the end are not answered at once. */
  afterEnd: () => Promise<void>
  /** Ends the stream after everything was read. */
  endWhenRead: () => void
}

/**
 * The inner view of a stream, for the parts of the plugin that serve the stream, such as the recorder. It
 * begins with the socket. The `AudioStream` for the application is made when the listen is known.
 */
export class LiveStream {
  readonly socket: ListenSocket
  readonly maxBuffered: number
  readonly channels = new Set<ChannelReader>()
  /** The recording of this stream; undefined if the route does not record. */
  recording: RecordingControl | undefined
  /** The key that ended the listen. */
  digits: string | undefined
  /** set by the AudioStream when it is made */
  writable: WritableSide | undefined
  /** Called when privacy begins, with its mode, and when it ends, with false. */
  onPrivacy: (mode: PauseMode | false) => void = () => {}
  /** Called once if we end the socket. */
  onEnding: (reason: EndReason) => void = () => {}
  /** Called to end only this listen of its call: see `endAlone` of SocketEndUser. */
  onEndAlone: (reason: EndReason) => Promise<boolean> | undefined = () => undefined
  readonly #begin: LiveStreamOptions['begin']
  #stream: AudioStream | undefined
  #reader: ReaderSide | undefined
  #playback: Playback | undefined
  #privacy: PauseMode | false = false
  #over = false
  #isSpeechOver = false
  #tapped = false
  #heard = false

  constructor({ socket, call, listen, identify, begin, limits, requestedAt, logger }: LiveStreamOptions) {
    this.#begin = begin
    this.maxBuffered = limits.maxBuffered
    this.socket = new ListenSocket(
      { socket, known: call && listen && { call, listen }, identify, limits, requestedAt, logger },
      {
        begin: (metadata) => this.#started(metadata),
        frame: (frame) => this.#frame(frame),
        takesFrames: () => this.#tapped || this.reader.takes || this.channels.size > 0,
        message: (message) => this.#message(message),
        ending: (reason) => this.onEnding(reason),
        endAlone: (reason) => this.onEndAlone(reason),
        closed: (reason, key) => this.#closed(reason, key)
      }
    )
  }

  /** The stream of the application; undefined until the listen is known. */
  get stream(): AudioStream | undefined {
    return this.#stream
  }

  /** undefined until the listen is known */
  get call(): Call | undefined {
    return this.socket.opened?.call
  }

  /** The present state of the listen; undefined until the listen is known. */
  get listen(): Listen | undefined {
    return this.socket.opened?.listen
  }

  /** Replaces the listen by its present state. */
  know(listen: Listen): void {
    if (this.socket.opened) this.socket.opened = { call: this.socket.opened.call, listen }
  }

  /**
   * Returns the application's audio that the caller heard during `frame`, which sinks and taps get now. Returns
   * undefined if there was none, or if it is not known yet.
   */
  heardIn(frame: Buffer): Int16Array | undefined {
    return this.socket.feed?.holdsBack ? undefined : this.#playback?.track?.heardIn(frame)
  }

  /** The reason for which ws alone reads the socket; undefined if the fast reader reads it. */
  get slowReason(): SlowReason | undefined {
    return this.socket.reader.slowReason
  }

  /** The latest time, ms of `performance.now()`, at which the socket was surely open. */
  get openUntil(): number {
    const now = performance.now()
    return this.socket.feed?.openUntil(now) ?? now
  }

  get counts(): AudioCounts {
    return this.socket.counts
  }

  /** Resolves when the socket has closed and the sinks have its last frame. Never rejects. */
  get done(): Promise<StreamEnd> {
    return this.socket.done
  }

  /** true once the socket has closed */
  get isOver(): boolean {
    return this.#over
  }

  /** Feeds a sink from the next frame on. Returns a function that removes it. */
  addSink(sink: AudioSink, { live = true }: SinkOptions = {}): () => void {
    this.socket.addSink(sink)
    const release = live ? this.keepLive() : () => {}
    return () => {
      this.socket.removeSink(sink)
      release()
    }
  }

  /** Delivers audio and keys soon, not in batches, until the returned function is called. */
  keepLive(): () => void {
    this.socket.want('soon', true)
    let kept = true
    return () => {
      if (kept) this.socket.want('soon', false)
      kept = false
    }
  }

  /** Reads and delivers the audio that has arrived, if possible. */
  readNow(): void {
    this.socket.reader.readNow()
  }

  /** Reads the socket to its end, even if a reader is slow, since somebody waits for `done`. */
  readToEnd(): void {
    this.socket.readToEnd()
  }

  /** Keeps up to 10 s of audio until `promise` settles, since a reader may still come until then. */
  keepFor(promise: Promise<unknown>): void {
    this.reader.keepUntil(promise, KEPT_MS * this.socket.bytesPerMs)
  }

  /** Ends the listen. Resolves within 6 s, even if jambonz does not react. */
  end(reason: EndReason): Promise<StreamEnd> {
    return this.socket.end(reason)
  }

  /**
   * Ends the listen. Closes the socket with `text` if jambonz can't be asked. A text that is too long is cut.
   */
  endOrClose(reason: EndReason, code: CloseCode, text: string): void {
    this.socket.endOrClose(reason, code, text)
  }

  /** The mode of the privacy that has begun; false if the call is not private. */
  get privacy(): PauseMode | false {
    return this.#privacy
  }

  /** true while private audio arrives, including late audio of a pause that has ended. */
  get isHidden(): boolean {
    return this.#privacy !== false || this.socket.isPrivate
  }

  /**
   * Begins a pause, for all sinks and supervisors. A pause that has begun goes on unchanged. Once the socket
   * has closed, a pause neither begins nor ends, since the next socket of the listen, on another instance,
   * continues the state at the close.
   */
  beginPrivacy(mode: PauseMode): void {
    if (this.#privacy !== false || this.#over) return
    this.socket.pauseSinks(mode)
    this.#privacy = mode
    this.#playbackOfWrites?.privacy(true)
    this.onPrivacy(mode)
  }

  /** Ends privacy. */
  endPrivacy(): void {
    if (this.#privacy === false || this.#over) return
    this.#privacy = false
    this.socket.resumeSinks()
    this.#playbackOfWrites?.privacy(false)
    this.onPrivacy(false)
  }

  // ---- for the AudioStream on top of this view

  get reader(): ReaderSide {
    return (this.#reader ??= new ReaderSide(this.#begun, this.socket.reader, this.maxBuffered, this.socket))
  }

  get playback(): Playback {
    if (this.#playback !== undefined) return this.#playback
    const stream = this.#begun
    this.#playback = new Playback({
      socket: this.socket,
      listen: stream.listen,
      backlog: () => stream.writableLength,
      write: (pcm) => stream.write(pcm),
      onMark: (mark) => this.#tell('mark', mark),
      onPlayDone: (done) => this.#tell('playDone', done),
      isPrivate: () => this.#privacy !== false,
      afterEnd: async () => await this.writable?.afterEnd()
    })
    if (this.#isSpeechOver) this.#playback.end()
    return this.#playback
  }

  // The playback, if the application has used it or has written audio.
  get #playbackOfWrites(): Playback | undefined {
    return (this.#stream?.writableLength ?? 0) > 0 ? this.playback : this.#playback
  }

  /** The utterances so far, as `AudioStream.output` has them. */
  get output(): readonly OutputEntry[] {
    return this.#playback?.output ?? []
  }

  /** Notes that somebody reads the stream. */
  readBy(): void {
    if (this.reader.arrive()) this.socket.want('soon', true)
  }

  /** Begins (true) or stops (false) to emit `audio` for each frame. */
  tap(tapped: boolean): void {
    if (this.#tapped === tapped) return
    this.#tapped = tapped
    this.socket.want('soon', tapped)
  }

  /** Notes whether somebody listens for keys or messages. The socket is then read soon. */
  hear(heard: boolean): void {
    if (this.#heard === heard) return
    this.#heard = heard
    this.socket.want('soon', heard)
  }

  /** Ends the listen, since the stream was destroyed. */
  destroyed(error: Error | null): void {
    this.reader.end()
    this.#speechOver()
    if (error) this.socket.endOrClose('error', CLOSE.ourFault, 'the audio was not handled', error)
    else this.end('disconnected')
  }

  #speechOver(): void {
    this.#isSpeechOver = true
    this.writable?.over(this.#begun.writableLength > 0)
    this.#playback?.end()
  }

  get #begun(): AudioStream {
    if (this.#stream === undefined) throw new Error('the stream has not begun')
    return this.#stream
  }

  #started(metadata: Record<string, unknown> | undefined): void {
    const own = this.listen?.metadata
    const stream = new AudioStream(this, (metadata ?? own) ? { ...metadata, ...own } : undefined)
    this.#stream = stream
    this.#begin(this, stream)
  }

  #frame(frame: Buffer): void {
    if (this.#tapped) this.#begun.emit('audio', frame)
    const { reader } = this
    if (reader.takes) reader.push(frame)
    if (this.channels.size > 0) for (const channel of this.channels) channel.frame(frame)
  }

  #message(message: AudioMessage): void {
    if (message.type === 'dtmf') this.#begun.emit('dtmf', message.dtmf)
    else if (message.type === 'other') this.#begun.emit('message', message.message)
    else this.playback.message(message)
  }

  #tell<E extends 'mark' | 'playDone'>(event: E, ...args: AudioStreamEvents[E]): void {
    this.#begun.emit(event, ...args)
  }

  #closed(reason: EndReason, key: string | undefined): void {
    this.#over = true
    if (reason === 'finishOnKey') this.digits ??= key
    const stream = this.#stream
    if (stream === undefined) return
    this.#speechOver()
    const endWhenRead = () => this.writable?.endWhenRead()
    if (stream.readableEnded) endWhenRead()
    else stream.once('end', endWhenRead)
    this.reader.socketClosed()
    for (const channel of this.channels) channel.socketClosed()
  }
}

export type RecorderState = 'recording' | 'paused' | 'finishing' | 'saved' | 'failed'

/** The recording of a stream, as the application controls it. */
export interface RecordingControl {
  readonly state: RecorderState
  /** the error of a failed recording */
  readonly error: Error | undefined
  /**
   * Pauses the recording. Audio from now on never reaches the disk. Default: silence stands for this audio.
   */
  pause(mode?: PauseMode): void
  resume(): void
}
