import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import { asFramed } from '../../model/payloads.js'
import type { AudioCounts, EndReason } from '../../model/schema.js'
import { AudioFeed } from './AudioFeed.js'
import {
  CLOSE_BAD_START,
  CLOSE_NORMAL,
  CLOSE_OUR_FAULT,
  CLOSE_TOO_BIG,
  SocketEnd,
  type CloseCode
} from './SocketEnd.js'
import { beat, RoundTrips } from './pings.js'
import { TextReader, type AudioMessage } from './messages.js'
import { BATCH_INTERVAL, SocketReader } from './frames/SocketReader.js'
import { FrameWriter } from './frames/FrameWriter.js'
import { SocketOpening, type Identify, type Opened } from './SocketOpening.js'
import type { AudioSink, PauseMode, StreamEnd, StreamLimits } from './types.js'

const NOTHING: AudioCounts = { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 }
/** The pong must be seen long before the next ping. */
const BATCHES_PER_PING = 4

export interface ListenSocketOptions {
  /** open */
  socket: WebSocket
  /** the listen, where the path names it */
  known: Opened | undefined
  identify: Identify | undefined
  limits: StreamLimits
  /** ms, when its upgrade was asked for; undefined: now */
  requestedAt: number | undefined
  logger: FastifyBaseLogger
}

/** The stream that stands on the socket. Whatever its methods throw ends the socket, and nothing else. */
export interface ListenSocketUser {
  /** called once, before anything else */
  begin(metadata: Record<string, unknown> | undefined): void
  /** whole sample frames, to keep; the sinks have had them */
  frame(frame: Buffer): void
  /** Returns whether `frame` does anything with them. */
  takesFrames(): boolean
  message(message: AudioMessage): void
  /** called once where we end the socket, before anything is sent */
  ending(reason: EndReason): void
  /** called once; `key`: the last one pressed, and not in private */
  closed(reason: EndReason, key: string | undefined): void
}

/** The socket of a listen: opens it, reads it, feeds the sinks, watches whether it lives, ends it. */
export class ListenSocket {
  readonly reader: SocketReader
  readonly #writer: FrameWriter
  readonly roundTrips: RoundTrips
  opened: Opened | undefined
  logger: FastifyBaseLogger
  readonly #socket: WebSocket
  readonly #user: ListenSocketUser
  readonly #limits: StreamLimits
  readonly #opening: SocketOpening
  readonly #texts: TextReader
  readonly #end: SocketEnd
  readonly #stopHeartbeat: () => void
  #feed: AudioFeed | undefined
  #streaming = false
  // When jambonz began to listen.
  readonly #startedAt: number
  // Who wants audio as it comes.
  #live = 0
  // What a listener has now: what were read now would overtake it.
  #delivering: 'beginning' | 'audio' | AudioMessage['type'] | undefined
  // A key ended the pause: those behind it were pressed after it.
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
    this.#end = new SocketEnd(socket, (reason) => {
      user.ending(reason)
      // From now on the socket is read, whatever stands against it.
      this.reader.readToEnd()
    })
    this.reader = new SocketReader(socket, {
      fast: limits.fastReader,
      maxPayload: limits.maxPayload,
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

  /** Settles once, never rejects, when the socket has closed and its last frame is with the sinks. */
  get done(): Promise<StreamEnd> {
    return this.#end.done
  }

  get counts(): AudioCounts {
    return this.#feed?.counts ?? NOTHING
  }

  /** Bytes of audio in one ms. */
  get bytesPerMs(): number {
    return this.#feed?.bytesPerMs ?? 0
  }

  /** How fast audio has come so far: 1 is real time. */
  get speed(): number {
    const { durationMs, gapMs } = this.counts
    return (durationMs + gapMs) / (performance.now() - this.#startedAt)
  }

  /** true while what comes was said in private. */
  get isPrivate(): boolean {
    return this.#feed?.isPaused ?? false
  }

  /** `first`: before the others, which use what it makes of a frame */
  addSink(sink: AudioSink, first = false): void {
    this.#feed?.add(sink, first)
    this.#updateReading()
  }

  removeSink(sink: AudioSink): void {
    this.#feed?.remove(sink)
  }

  /** Somebody wants the audio as it comes, from now on or no longer. */
  live(yes: boolean): void {
    this.#live += yes ? 1 : -1
    this.#updateReading()
  }

  /** Pauses the sinks: what has come goes to them, what comes from now on does not. */
  pauseSinks(mode: PauseMode): void {
    this.#stopResuming()
    this.#keysArePublic = false
    // Within a listener: what is behind the frame it has is taken for private.
    this.readNow()
    // Nothing said in the pause is to wait in the kernel, or to be merged with what is said after it.
    if (this.#feed?.pause(mode)) this.live(true)
  }

  /** Delivers what has come, except within a listener: it would overtake the frame that is being delivered. */
  readNow(): void {
    if (!this.#delivering && this.#streaming) this.reader.readNow()
  }

  /** Ends the pause: what has come, or comes late, belongs to it, but no key behind one whose listener ends it. */
  resumeSinks(): void {
    this.#keysArePublic = this.#delivering === 'dtmf'
    if (!this.#delivering && this.reader.readNow()) return this.#resume()
    // Only the event loop can read what has come: it has when it has polled once more.
    this.#resuming = setImmediate(() => {
      this.#resuming = setImmediate(() => this.#resume())
    })
  }

  /** Sends audio. `sent` is called when it has left the process. */
  send(audio: Buffer, sent?: () => void): void {
    this.#writer.send(audio, sent)
  }

  /** Sends text whose bytes may have been made before. */
  sendText(text: string | Buffer): void {
    this.#socket.send(text, { binary: false })
  }

  /** When all audio that has come could have come at the earliest; Infinity before any. */
  get earliest(): number {
    return this.#feed?.gaps.earliest ?? Infinity
  }

  /** true while frames are kept from the sinks because a gap before them is in doubt. */
  get holdsBack(): boolean {
    return this.#feed?.holdsBack ?? false
  }

  /** ms of audio that have come, and of the gaps in it */
  get receivedMs(): number {
    return this.#feed?.receivedMs ?? 0
  }

  /** Bytes sent that are still in the process. */
  get unsent(): number {
    return this.#socket.bufferedAmount
  }

  /** Asks jambonz to end the listen, so that it calls the actionHook; after 2 s we close, 2 s later we hang up. */
  end(reason: EndReason): Promise<StreamEnd> {
    this.#end.ask(reason)
    return this.done
  }

  /** Closes from our side. */
  close(reason: EndReason, code: CloseCode, text = '', error?: Error): void {
    this.#end.close(reason, code, text, error)
  }

  /** Closes over a fault of ours, or of the application's, and logs it. */
  fail(err: unknown, what: string): void {
    this.logger.error({ err }, `${what}: its stream ends`)
    this.close('error', CLOSE_OUR_FAULT, what, err instanceof Error ? err : undefined)
  }

  /** Ends the stream of a listener that threw, or rejected: it must not end the process. */
  listenerThrew(err: unknown): void {
    this.fail(err, 'a listener of the audio stream threw')
  }

  #receive(data: Buffer, isBinary: boolean): void {
    if (!this.#streaming) return this.#opening.message(data, isBinary)
    if (!isBinary) return this.#text(data)
    // jambonz, when it shuts down gracefully, never closes by itself (mod_audio_fork).
    if (data.length === 0) return this.close('closed', CLOSE_NORMAL)
    if (data.length > this.#limits.maxPayload) return this.#tooBig(data.length)
    this.#audio(data, 1, false)
  }

  // The hot path: to the sinks, 50 times a second and call.
  #audio(data: Buffer, messages: number, reused: boolean): void {
    if (!this.#streaming || this.#feed === undefined) {
      return this.#opening.message(reused ? Buffer.from(data) : data, true)
    }
    const frame = this.#feed.take(data, messages, performance.now())
    if (frame.length === 0 || !this.#user.takesFrames()) return
    this.#delivering = 'audio'
    try {
      this.#user.frame(reused ? Buffer.from(frame) : frame)
    } catch (err) {
      // It must not reach ws, and through it the process.
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

  #tooBig(bytes: number): void {
    this.logger.warn(`a message of ${bytes} bytes is over limits.maxPayload, ${this.#limits.maxPayload}`)
    this.close('error', CLOSE_TOO_BIG, 'message too big')
  }

  #begin({ call, listen }: Opened, metadata: Record<string, unknown> | undefined): void {
    if (this.opened === undefined) {
      this.logger = this.logger.child({ callSid: call.callSid, listenId: listen.id })
    }
    this.opened = { call, listen: asFramed(listen, metadata) }
    this.#feed = new AudioFeed(this.opened.listen.sampleRate, this.opened.listen.channels, () =>
      this.live(false)
    )
    this.#streaming = true
    this.#feed.gaps.opened(this.#startedAt, this.#opening.firstAt ?? this.#startedAt)
    // What has come with the first frame is delivered before what is read now.
    this.#delivering = 'beginning'
    try {
      this.#user.begin(metadata)
      this.#updateReading()
    } catch (err) {
      this.fail(err, 'the audio stream could not begin')
    }
    this.#delivering = undefined
  }

  #refuse(error: Error): void {
    this.logger.warn({ err: error }, 'audio socket refused')
    this.reader.identifying(false)
    this.close('error', CLOSE_BAD_START, error.message, error)
  }

  #updateReading(): void {
    if (!this.#streaming || this.#feed === undefined) return
    const { heartbeat } = this.#limits
    const untilPing = heartbeat === 0 ? Infinity : heartbeat / BATCHES_PER_PING
    if (this.#live > 0) this.reader.live()
    else this.reader.batch(Math.min(BATCH_INTERVAL, this.#feed.maxBatchMs, untilPing))
    this.#feed.gaps.batchMs = this.reader.lateBy
    this.#feed.gaps.readMs = this.reader.readMs
  }

  #closed(closeCode: number): void {
    this.#stopHeartbeat()
    this.#opening.end()
    this.reader.end()
    if (this.#resuming) this.#resume()
    this.#feed?.end()
    const { key } = this.#texts
    const now = performance.now()
    const { durationMs, gapMs } = this.counts
    const reason = this.#end.closed({
      closeCode,
      listen: this.opened?.listen,
      lengthMs: Math.max(durationMs + gapMs, this.#streaming ? now - this.#startedAt : 0),
      ...(key && { key: { digit: key.digit, agoMs: now - key.at } })
    })
    this.#user.closed(reason, key?.isPrivate ? undefined : key?.digit)
  }
}
