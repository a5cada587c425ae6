import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import type { AudioCounts, EndReason } from '../../model/schema.js'
import { BATCH_INTERVAL } from './BatchWheel.js'
import { endReasonOf } from './endReason.js'
import { Ending } from './Ending.js'
import { Flow } from './Flow.js'
import { asFramed } from '../../model/format.js'
import { FrameReader } from './FrameReader.js'
import { beat } from './Heartbeat.js'
import { Intake } from './Intake.js'
import { readMessage, type AudioMessage } from './messages.js'
import { Opening, type Identify, type Opened } from './Opening.js'
import { TextLimit } from './TextLimit.js'
import type { AudioSink, StreamEnd, StreamLimits } from './types.js'
import { CLOSE_BAD_START, CLOSE_NORMAL, CLOSE_OUR_FAULT, CLOSE_TOO_BIG } from './wire.js'

const NOTHING: AudioCounts = { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 }
/** A websocket close frame carries 123 bytes of text. */
const MAX_CLOSE_TEXT = 100
/** Bytes of audio that gather in the kernel between two reads. */
const MAX_BATCH = 32_768
/** The pong must be seen long before the next ping. */
const BATCHES_PER_PING = 4

export interface ConnectionOptions {
  socket: WebSocket
  known: Opened | undefined
  identify: Identify | undefined
  limits: StreamLimits
  logger: FastifyBaseLogger
}

/** The stream that stands on the connection. Whatever its methods throw ends the connection, and nothing else. */
export interface ConnectionUser {
  /** once, before anything else */
  begin(metadata: Record<string, unknown> | undefined): void
  /** whole sample frames, to keep; the sinks have had them */
  frame(frame: Buffer): void
  /** whether `frame` does anything with them */
  takesFrames(): boolean
  message(message: AudioMessage): void
  /** once; `key`: the last one pressed */
  closed(reason: EndReason, key: string | undefined): void
}

/** The socket of a listen: opens it, reads it, feeds the sinks, watches whether it lives, ends it. */
export class Connection {
  readonly flow: Flow
  readonly ending: Ending
  opened: Opened | undefined
  logger: FastifyBaseLogger
  readonly #socket: WebSocket
  readonly #user: ConnectionUser
  readonly #limits: StreamLimits
  readonly #frames: FrameReader | undefined
  readonly #opening: Opening
  readonly #texts = new TextLimit()
  readonly #stopHeartbeat: () => void
  #intake: Intake | undefined
  #streaming = false
  #startedAt = 0
  // Who wants audio as it comes.
  #live = 0
  #key: { digit: string; at: number } | undefined

  /** Attaches every listener before it returns. */
  constructor({ socket, known, identify, limits, logger }: ConnectionOptions, user: ConnectionUser) {
    this.#socket = socket
    this.#user = user
    this.#limits = limits
    this.opened = known
    this.logger = logger
    this.#frames = FrameReader.of(socket, limits.maxPayload, (audio, messages, reused) =>
      this.#audio(audio, messages, reused)
    )
    this.flow = new Flow(socket, this.#frames, () => this.#intake?.rest())
    this.ending = new Ending(socket, () => this.flow.force())
    this.#opening = new Opening(
      known,
      identify,
      limits.metadataTimeout,
      {
        pause: () => this.flow.identifying(true),
        resume: () => this.flow.identifying(false),
        opened: (opened, metadata) => this.#begin(opened, metadata),
        failed: (error) => this.#refuse(error),
        replay: (data, isBinary) => this.#receive(data, isBinary)
      },
      logger
    )
    this.#stopHeartbeat = beat(limits.heartbeat, {
      socket,
      isRead: () => !this.flow.waitsForReader,
      lost: () => this.ending.abandon('lost')
    })
    socket.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary))
    socket.on('error', (err) => this.ending.broken(err))
    socket.on('close', (code) => this.#closed(code))
  }

  get counts(): AudioCounts {
    return this.#intake?.counts ?? NOTHING
  }

  /** Bytes of audio in one ms. */
  get bytesPerMs(): number {
    return this.#intake?.bytesPerMs ?? 0
  }

  /** How fast audio has come so far: 1 is real time. */
  get speed(): number {
    const { durationMs, gapMs } = this.counts
    return (durationMs + gapMs) / (performance.now() - this.#startedAt)
  }

  get done(): Promise<StreamEnd> {
    return this.ending.done
  }

  addSink(sink: AudioSink): void {
    this.#intake?.add(sink)
    this.#updateFlow()
  }

  removeSink(sink: AudioSink): void {
    this.#intake?.remove(sink)
  }

  /** Somebody wants the audio as it comes, from now on or no longer. */
  live(yes: boolean): void {
    this.#live += yes ? 1 : -1
    this.#updateFlow()
  }

  send(data: string | Buffer, sent?: () => void): void {
    if (sent) this.#socket.send(data, sent)
    else this.#socket.send(data)
  }

  /** Bytes sent that are still in the process. */
  get unsent(): number {
    return this.#socket.bufferedAmount
  }

  fail(err: unknown, what: string): void {
    this.logger.error({ err }, `${what}: its stream ends`)
    this.ending.stopNow('error', CLOSE_OUR_FAULT, what, err instanceof Error ? err : undefined)
  }

  /** A listener of the stream's events threw, or rejected: that ends the stream, and must not end the process. */
  listenerThrew(err: unknown): void {
    this.fail(err, 'a listener of the audio stream threw')
  }

  #receive(data: Buffer, isBinary: boolean): void {
    if (!this.#streaming) return this.#opening.message(data, isBinary)
    if (!isBinary) return this.#text(data)
    // jambonz, when it shuts down gracefully, never closes by itself (mod_audio_fork).
    if (data.length === 0) return this.ending.stopNow('closed', CLOSE_NORMAL, '')
    if (data.length > this.#limits.maxPayload) return this.#tooBig(data)
    this.#audio(data, 1, false)
  }

  // The hot path: to the sinks, 50 times a second and call.
  #audio(data: Buffer, messages: number, reused: boolean): void {
    if (!this.#streaming || this.#intake === undefined) {
      return this.#opening.message(reused ? Buffer.from(data) : data, true)
    }
    const frame = this.#intake.take(data, messages, performance.now())
    if (frame.length === 0 || !this.#user.takesFrames()) return
    try {
      this.#user.frame(reused ? Buffer.from(frame) : frame)
    } catch (err) {
      // It must not reach ws, and through it the process.
      this.listenerThrew(err)
    }
  }

  #text(data: Buffer): void {
    const now = performance.now()
    if (!this.#texts.allow(now)) {
      if (this.#texts.justExceeded) {
        this.logger.warn('jambonz floods the socket with text: what is over 500 messages a second is ignored')
      }
      return
    }
    const message = readMessage(data)
    if (message.type === 'invalid') {
      if (this.#texts.firstInvalid()) this.logger.warn(`text from jambonz is ignored: ${message.reason}`)
      return
    }
    if (message.type === 'dtmf') this.#key = { digit: message.dtmf.digit, at: now }
    try {
      this.#user.message(message)
    } catch (err) {
      this.listenerThrew(err)
    }
  }

  #tooBig(data: Buffer): void {
    this.logger.warn(
      `a message of ${data.length} bytes is over limits.maxPayload, ${this.#limits.maxPayload}`
    )
    this.ending.stopNow('error', CLOSE_TOO_BIG, 'message too big')
  }

  #begin({ call, listen }: Opened, metadata: Record<string, unknown> | undefined): void {
    if (this.opened === undefined) {
      this.logger = this.logger.child({ callSid: call.callSid, listenId: listen.id })
    }
    this.opened = { call, listen: asFramed(listen, metadata) }
    this.#intake = new Intake(this.opened.listen.sampleRate, this.opened.listen.channels)
    this.#streaming = true
    this.#startedAt = performance.now()
    try {
      this.#user.begin(metadata)
      this.#updateFlow()
    } catch (err) {
      this.fail(err, 'the audio stream could not begin')
    }
  }

  #refuse(error: Error): void {
    this.logger.warn({ err: error }, 'audio socket refused')
    this.flow.identifying(false)
    this.ending.stopNow('error', CLOSE_BAD_START, error.message.slice(0, MAX_CLOSE_TEXT), error)
  }

  #updateFlow(): void {
    if (!this.#streaming || this.#intake === undefined) return
    if (this.#live > 0) this.flow.live()
    else this.flow.batch(this.#batchInterval(this.#intake))
    const { batched, interval } = this.flow
    if (this.#frames) this.#frames.merging = batched
    // Counted as one, a batch is as late as its last message.
    else this.#intake.gaps.batchMs = batched ? interval : 0
  }

  #batchInterval({ bytesPerMs, maxDelay }: Intake): number {
    const { heartbeat } = this.#limits
    return Math.min(
      BATCH_INTERVAL,
      MAX_BATCH / bytesPerMs,
      maxDelay,
      heartbeat === 0 ? Infinity : heartbeat / BATCHES_PER_PING
    )
  }

  #closed(closeCode: number): void {
    this.#stopHeartbeat()
    this.#opening.end()
    this.flow.end()
    this.#intake?.end()
    const now = performance.now()
    const { durationMs, gapMs } = this.counts
    const reason = endReasonOf({
      closeCode,
      listen: this.opened?.listen,
      lengthMs: Math.max(durationMs + gapMs, this.#streaming ? now - this.#startedAt : 0),
      ...(this.#key && { key: { digit: this.#key.digit, agoMs: now - this.#key.at } })
    })
    this.#user.closed(this.ending.closed(closeCode, reason), this.#key?.digit)
  }
}
