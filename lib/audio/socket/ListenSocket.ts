import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import { isError } from '../../model/json.js'
import { NO_AUDIO } from '../../model/callWrite.js'
import { asFramed } from '../../model/payloads.js'
import type { AudioCounts, EndReason, PauseMode } from '../../model/schema.js'
import { AudioFeed } from './AudioFeed.js'
import { loopTurns } from './GapMeter.js'
import { CLOSE, SocketEnd, type CloseCode, type SocketEndUser } from './SocketEnd.js'
import { beat, RoundTrips } from './pings.js'
import { TextReader, type AudioMessage } from './messages.js'
import { BATCH_INTERVAL, SocketReader } from './frames/SocketReader.js'
import { FrameWriter } from './frames/FrameWriter.js'
import { SocketOpening, type Identify, type Opened } from './SocketOpening.js'
import type { AudioSink, StreamEnd, StreamLimits } from './types.js'

/** Minimum number of reads between two pings, since a pong must be seen long before the next ping. */
const READS_PER_PING = 4

export interface ListenSocketOptions {
  /** an open websocket */
  socket: WebSocket
  /** the call and listen that the socket's path names */
  known: Opened | undefined
  identify: Identify | undefined
  limits: StreamLimits
  /** ms, as of `performance.now()`, at which jambonz asked for the socket's upgrade; undefined stands for now */
  requestedAt: number | undefined
  logger: FastifyBaseLogger
}

/** The stream on top of the socket. An error that one of its methods throws ends the socket, and nothing else. */
export interface ListenSocketUser extends Pick<SocketEndUser, 'ending' | 'endAlone'> {
  /** Called once, before the other methods, when the listen is known. */
  begin(metadata: Record<string, unknown> | undefined): void
  /** Takes audio in whole sample frames, which it may keep. The sinks have got this audio already. */
  frame(frame: Buffer): void
  /** Returns true if `frame()` has any use for audio now. */
  takesFrames(): boolean
  message(message: AudioMessage): void
  /** Called once, when the socket has closed. `key`: the last key that the caller pressed, unless it was private. */
  closed(reason: EndReason, key: string | undefined): void
}

/** The websocket of one listen. It identifies the listen, reads the audio, feeds the sinks, sends, and closes. */
export class ListenSocket {
  readonly reader: SocketReader
  readonly #writer: FrameWriter
  readonly roundTrips: RoundTrips
  opened: Opened | undefined
  logger: FastifyBaseLogger
  readonly #socket: WebSocket
  readonly #user: ListenSocketUser
  readonly #limits: StreamLimits
  #opening: SocketOpening | undefined // until the listen is known
  readonly #texts: TextReader
  readonly #end: SocketEnd
  readonly #stopHeartbeat: () => void
  #feed: AudioFeed | undefined
  #streaming = false
  // Time, ms of performance.now(), at which jambonz began to listen.
  readonly #startedAt: number
  // Number of users that want audio soon, or at once.
  readonly #wanted = { soon: 0, atOnce: 0 }
  // The delivery to the user that is under way. Nothing may be read meanwhile, since it would be delivered first.
  #delivering: 'beginning' | 'audio' | AudioMessage['type'] | undefined
  // True if a key ended the pause, so that the keys after it are not private.
  #keysArePublic = false
  #resuming: NodeJS.Immediate | undefined

  /** Attaches every listener before it returns. */
  constructor(
    { socket, known, identify, limits, requestedAt, logger }: ListenSocketOptions,
    user: ListenSocketUser
  ) {
    this.#socket = socket
    this.#user = user
    this.#limits = limits
    this.#startedAt = requestedAt ?? performance.now()
    this.opened = known
    this.logger = logger
    this.#texts = new TextReader((text) => this.logger.warn(text))
    this.roundTrips = new RoundTrips(socket)
    this.#end = new SocketEnd(socket, {
      // The socket is read from now on, since its close is seen only while it is read.
      begun: () => this.reader.readToEnd(),
      ending: (reason) => user.ending(reason),
      endAlone: (reason) => user.endAlone(reason)
    })
    this.reader = new SocketReader(socket, {
      fast: limits.fastReader,
      maxPayload: limits.maxPayload,
      isKept: () => this.#streaming && user.takesFrames(),
      onAudio: (audio, messages, reused) => this.#audio(audio, messages, reused),
      onRest: () => this.#feed?.rest()
    })
    this.#writer = new FrameWriter(socket, this.reader.internals)
    this.#opening = new SocketOpening(
      known,
      identify,
      limits.metadataTimeout,
      {
        pause: () => this.reader.identifying(true),
        resume: () => this.reader.identifying(false),
        opened: (opened, metadata) => this.#begin(opened, metadata),
        failed: (error) => this.#refuse(error),
        replay: (data, isBinary) => this.#receive(data, isBinary)
      },
      logger
    )
    this.#stopHeartbeat = beat(limits.heartbeat, {
      socket,
      isRead: () => !this.reader.waitsForReader,
      lost: () => this.#end.lost()
    })
    socket.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary))
    socket.on('error', (err) => this.#end.broken(err))
    socket.on('close', (code) => this.#closed(code))
  }

  /** Resolves when the socket has closed and the sinks have its last frame. Never rejects. */
  get done(): Promise<StreamEnd> {
    return this.#end.done
  }

  get counts(): AudioCounts {
    return this.#feed?.counts ?? NO_AUDIO
  }

  /** bytes of one ms of audio; 0 until the listen is known */
  get bytesPerMs(): number {
    return this.#feed?.bytesPerMs ?? 0
  }

  /** Speed at which audio has come so far; 1 is real time. */
  get speed(): number {
    const { durationMs, gapMs } = this.counts
    return (durationMs + gapMs) / (performance.now() - this.#startedAt)
  }

  /** true while the audio that arrives is private. */
  get isPrivate(): boolean {
    return this.#feed?.isPaused ?? false
  }

  /** Adds a sink. `first`: true if it gets each frame before the other sinks, which use its result. */
  addSink(sink: AudioSink, first = false): void {
    this.#feed?.add(sink, first)
    this.#updateReading()
  }

  removeSink(sink: AudioSink): void {
    this.#feed?.remove(sink)
  }

  /** Counts a user that wants (`yes`) or no longer wants audio `atOnce`, or `soon`: within LISTENING_INTERVAL. */
  want(when: 'atOnce' | 'soon', yes: boolean): void {
    this.#wanted[when] += yes ? 1 : -1
    this.#updateReading()
  }

  /** Pauses the sinks. Audio that has arrived still goes to them; later audio does not. */
  pauseSinks(mode: PauseMode): void {
    this.#stopResuming()
    this.#keysArePublic = false
    // If a listener calls this method, nothing is read, and audio behind the listener's frame counts as private.
    this.readNow()
    // Audio is now read as it comes, since a batch could mix audio of the pause with audio after it.
    if (this.#feed?.pause(mode)) this.want('atOnce', true)
  }

  /** Reads and delivers audio that has arrived. Does nothing within a listener, whose frame must come first. */
  readNow(): void {
    if (!this.#delivering && this.#streaming) this.reader.readNow()
  }

  /** Ends the pause. Audio said before still belongs to it. If a `dtmf` listener ends it, later keys are not private. */
  resumeSinks(): void {
    this.#keysArePublic = this.#delivering === 'dtmf'
    if (!this.#delivering && this.reader.readNow()) return this.#resume()
    // Only the event loop can read the rest. It polls all sockets once between two setImmediate().
    this.#resuming = setImmediate(() => {
      this.#resuming = setImmediate(() => this.#resume())
    })
  }

  /** Sends audio. `sent` is called when the audio has left the process. */
  send(audio: Buffer, sent?: () => void): void {
    this.#writer.send(audio, sent)
  }

  /** Sends text, as a string or as its UTF-8 bytes. */
  sendText(text: string | Buffer): void {
    this.#socket.send(text, { binary: false })
  }

  /** The audio so far; undefined until the listen is known. */
  get feed(): AudioFeed | undefined {
    return this.#feed
  }

  /** ms of audio that has arrived, gaps included */
  get receivedMs(): number {
    return this.#feed?.receivedMs ?? 0
  }

  /** bytes that were sent, but have not left the process */
  get unsent(): number {
    return this.#socket.bufferedAmount
  }

  /** Reads the socket to its end at once. Closes a socket on which nothing has come: see SocketOpening. */
  readToEnd(): void {
    this.reader.readToEnd()
    this.#opening?.hurry()
  }

  /** Asks jambonz to end the listen, so that it calls the actionHook: see SocketEnd. */
  end(reason: EndReason): Promise<StreamEnd> {
    this.#end.ask(reason)
    return this.done
  }

  /** Asks jambonz to end only this listen of the call. Closes the socket if jambonz can't be asked. */
  endOrClose(reason: EndReason, code: CloseCode, text: string, error?: Error): void {
    this.#end.askOrClose(reason, code, text, error)
  }

  /** Closes the socket from our side. */
  close(reason: EndReason, code: CloseCode, text = '', error?: Error): void {
    this.#end.close(reason, code, text, error)
  }

  /** Logs an error of ours or of the application's, and closes with 1011. `what`: the event, for the log. */
  fail(err: unknown, what: string): void {
    this.logger.error({ err }, `${what}: its stream ends`)
    this.close('error', CLOSE.ourFault, what, isError(err) ? err : undefined)
  }

  /** Ends the stream because a listener of the application threw or rejected. */
  listenerThrew(err: unknown): void {
    this.fail(err, 'a listener of the audio stream threw')
  }

  #receive(data: Buffer, isBinary: boolean): void {
    if (!this.#streaming) return this.#opening?.message(data, isBinary)
    if (!isBinary) return this.#text(data)
    // An empty message asks us to close, since jambonz does not close the socket itself on shutdown (mod_audio_fork).
    if (data.length === 0) return this.close('closed', CLOSE.normal)
    if (data.length <= this.#limits.maxPayload) return this.#audio(data, 1, false)
    this.logger.warn(
      `a message of ${data.length} bytes is over limits.maxPayload, ${this.#limits.maxPayload}`
    )
    this.close('error', CLOSE.tooBig, 'message too big')
  }

  // The hot path, which runs 50 times a second for each call.
  #audio(data: Buffer, messages: number, reused: boolean): void {
    if (!this.#streaming || this.#feed === undefined) {
      return this.#opening?.message(reused ? Buffer.from(data) : data, true)
    }
    const frame = this.#feed.take(data, messages, performance.now())
    if (frame.length === 0 || !this.#user.takesFrames()) return
    this.#delivering = 'audio'
    try {
      this.#user.frame(reused ? Buffer.from(frame) : frame)
    } catch (err) {
      this.listenerThrew(err)
    }
    this.#delivering = undefined
  }

  #text(data: Buffer): void {
    const message = this.#texts.read(data, performance.now(), this.isPrivate && !this.#keysArePublic)
    if (message === undefined) return
    this.#delivering = message.type
    try {
      this.#user.message(message)
    } catch (err) {
      this.listenerThrew(err)
    }
    this.#delivering = undefined
  }

  #resume(): void {
    this.#stopResuming()
    this.#feed?.resume(performance.now(), this.reader.isWithinMessage, this.reader.waitsForReader)
  }

  #stopResuming(): void {
    clearImmediate(this.#resuming)
    this.#resuming = undefined
  }

  #begin({ call, listen }: Opened, metadata: Record<string, unknown> | undefined): void {
    if (this.opened === undefined) {
      this.logger = this.logger.child({ callSid: call.callSid, listenId: listen.id })
    }
    this.opened = { call, listen: asFramed(listen, metadata) }
    const { sampleRate, channels, bidirectional } = this.opened.listen
    this.#feed = new AudioFeed(sampleRate, channels, () => this.want('atOnce', false), loopTurns)
    this.#streaming = true
    // The application answers what it hears, so it needs audio at once.
    if (bidirectional?.mode === 'streaming') this.#wanted.atOnce++
    this.#feed.gaps.opened(this.#startedAt, this.#opening?.firstAt ?? this.#startedAt)
    this.#opening = undefined
    // The audio that came with the first frame is delivered before anything that is read now.
    this.#delivering = 'beginning'
    try {
      this.#user.begin(metadata)
      this.#updateReading()
    } catch (err) {
      this.fail(err, 'the audio stream could not begin')
    }
    this.#delivering = undefined
  }

  #refuse(error: Error | undefined): void {
    if (error) this.logger.warn({ err: error }, 'audio socket refused')
    this.reader.identifying(false)
    this.close(error ? 'error' : 'closed', error ? CLOSE.badStart : CLOSE.normal, error?.message, error)
  }

  #updateReading(): void {
    if (!this.#streaming || this.#feed === undefined) return
    const untilPing = this.#limits.heartbeat / READS_PER_PING || Infinity
    if (this.#wanted.atOnce > 0) this.reader.live()
    else if (this.#wanted.soon > 0) this.reader.listen()
    else this.reader.batch(Math.min(BATCH_INTERVAL, this.#feed.maxBatchMs, untilPing))
    this.#feed.gaps.batchMs = this.reader.lateBy
    this.#feed.gaps.readMs = this.reader.readMs
  }

  #closed(closeCode: number): void {
    this.#stopHeartbeat()
    this.#opening?.end()
    this.reader.end()
    if (this.#resuming) this.#resume()
    this.#feed?.end()
    const [{ key }, now] = [this.#texts, performance.now()]
    const reason = this.#end.closed({
      closeCode,
      listen: this.opened?.listen,
      lengthMs: Math.max(this.receivedMs, this.#streaming ? now - this.#startedAt : 0),
      ...(key && { key: { digit: key.digit, agoMs: now - key.at } })
    })
    this.#user.closed(reason, key?.isPrivate ? undefined : key?.digit)
  }
}
