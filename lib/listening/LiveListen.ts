import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import type { Correlation, ListenFields } from '../correlation/Correlation.js'
import type { Correlated } from '../model/callWrite.js'
import { goesOnWithCall } from '../correlation/handover.js'
import { hooked } from '../correlation/hookCame.js'
import { identified } from '../correlation/identified.js'
import { recordingsOf } from '../correlation/recorded.js'
import { nextSocketOf, withSegment, outputOf } from '../model/listenLife.js'
import type { Call, EndReason, Listen, ListenSegment, PauseMode } from '../model/schema.js'
import { withKnown } from '../recording/directory/sidecar.js'
import type { FinishedRecording } from '../model/recording.js'
import type { Recorder, RecordingError } from '../recording/types.js'
import type { Recordings } from '../recording/Recordings.js'
import { type Trace, type Tracing, beginListenSpan, endListenSpan } from './tracing.js'
import { LISTEN_METADATA_KEY, type Platform } from '../verbs/index.js'
import type { AudioRoute } from './AudioRoutes.js'
import { CLOSE } from '../audio/socket/SocketEnd.js'
import { LiveStream } from '../audio/stream/LiveStream.js'
import { watchEndConditions } from '../audio/stream/endConditions.js'
import type { AudioStream } from '../audio/stream/AudioStream.js'
import type { StreamEnd, StreamLimits } from '../audio/socket/types.js'
import { StreamRecordingControl } from '../recording/StreamRecorder.js'
import { isoTime, wallClock } from '../model/time.js'

/** Codes of errors of a handler that writes to a stream after its caller hung up. They are not logged as failures. */
const ENDS_OF_A_STREAM = [
  'FST_JAMBONZ_AUDIO_CLOSED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'ABORT_ERR'
]

/** Prefix of the callSid that the plugin makes for a socket that names no call (`strict: false`). */
const UNNAMED = 'unnamed-'

type Saved = Pick<Listen, 'recording' | 'recordingError'>

/** The parts of the plugin that live listens need. */
export interface LiveListenServices {
  readonly options: {
    readonly limits: StreamLimits
    readonly silenceLevel: number
    readonly platform: Platform
  }
  readonly correlation: Correlation
  /** undefined if nothing is recorded */
  readonly recordings: Recordings | undefined
  /** name of this process in the store */
  readonly instance: string
  /** undefined if nothing is traced */
  readonly tracing: Tracing | undefined
  /** Ends only this listen of its call: see ListenEnds. */
  readonly endAlone: (live: LiveStream, reason: EndReason) => Promise<boolean> | undefined
}

export interface LiveListenDeps {
  services: LiveListenServices
  /** the scope that registered the route; `this` in its handler */
  scope: FastifyInstance
  route: AudioRoute
  /** time of the request for the socket's upgrade, ms of `performance.now()` */
  requestedAt: number
  /** logger of the socket; its lines have the listen's id if the listen is `claimed` */
  logger: FastifyBaseLogger
}

/** A listen with a socket on this instance, until the socket closes. Gives the stream its recorder and its handler. */
export class LiveListen {
  readonly live: LiveStream
  /** Resolves when the socket has closed and another instance may continue the listen. Never rejects. */
  readonly released: Promise<void>
  /** Resolves when the listen has ended or was handed over, and its final recording is stored. Never rejects. */
  readonly over: Promise<void>
  readonly #deps: LiveListenDeps
  readonly #openedAt = wallClock()
  readonly #claimed: boolean
  #logger: FastifyBaseLogger
  #trace?: Trace
  #recorder?: Recorder
  #startedAt?: string
  #handsOver = false
  // Resolves when all writes of this listen to the store so far are done.
  #writes: Promise<unknown> = Promise.resolve()

  /** `claimed`: the listen that the socket's path names, claimed before the upgrade. */
  constructor(socket: WebSocket, claimed: Correlated | undefined, deps: LiveListenDeps) {
    this.#deps = deps
    this.#logger = deps.logger
    this.#claimed = claimed !== undefined
    if (claimed) this.#beginTrace(claimed.listen)
    this.live = new LiveStream({
      socket,
      ...(claimed && { call: claimed.call, listen: nextSocketOf(claimed.listen) }),
      identify: (metadata) => this.#identify(metadata),
      begin: (live, stream) => this.#begin(live, stream),
      limits: deps.services.options.limits,
      requestedAt: deps.requestedAt,
      logger: this.#logger
    })
    this.live.onEnding = (reason) => {
      if (this.live.listen) deps.services.correlation.ending(this.live.listen, reason)
    }
    this.live.onEndAlone = (reason) => deps.services.endAlone(this.live, reason)
    const closed = this.live.done.then((end) => this.#closed(end))
    this.released = closed.then(() => {})
    this.over = closed.then((finish) => finish?.())
  }

  /**
   * Asks the other instances to hand over the listens of this call that they hold. Resolves to the ids of all
   * listens of the call that can be handed over; to an empty list if this listen is not among them. Never
   * rejects.
   */
  async goesOnWith(): Promise<readonly string[]> {
    const { listen } = this.live
    if (listen === undefined) return []
    const ids = (await this.#enqueue(() => this.#deps.services.correlation.handsOver(listen.callSid))) ?? []
    return ids.includes(listen.id) ? ids : []
  }

  /** Ends the socket. jambonz reconnects to another instance, which continues the listen. */
  handOver(): void {
    this.#handsOver = true
    this.live.end('drained')
  }

  /** Ends the listen so that jambonz calls its actionHook. */
  stop(): void {
    this.live.end('drained')
  }

  /** Resolves when the listen's actionHook has arrived at any instance, or after `ms`. */
  async hooked(ms: number): Promise<void> {
    const { listen } = this.live
    const { correlation } = this.#deps.services
    if (listen !== undefined) await hooked(correlation, listen, ms)
  }

  async #identify(metadata: Record<string, unknown> | undefined): Promise<Correlated> {
    const { correlation, options } = this.#deps.services
    const isNamed = typeof metadata?.callSid === 'string'
    // jambonz 0.9 always names the call. jambonz 11 does not, if the listen was started from outside the application.
    if (metadata !== undefined && !isNamed && options.platform === '0.9') {
      throw new Error('the first frame has no callSid')
    }
    const known = isNamed ? metadata : { ...metadata, callSid: `${UNNAMED}${randomUUID()}` }
    if (!isNamed) {
      this.#logger.warn(
        { callSid: known.callSid },
        'the first frame has no callSid, so the plugin makes one up for the audio'
      )
    }
    return await identified(correlation, {
      metadata: known,
      metadataKey: LISTEN_METADATA_KEY,
      path: this.#deps.route.path
    })
  }

  #beginTrace(listen: Listen): void {
    const { tracing } = this.#deps.services
    if (tracing) this.#trace = beginListenSpan(tracing, listen, this.#openedAt)
  }

  #begin(live: LiveStream, stream: AudioStream): void {
    const { correlation, recordings, options, instance } = this.#deps.services
    const { route } = this.#deps
    const { listen, metadata } = stream
    if (!this.#claimed) {
      this.#logger = this.#logger.child({ callSid: stream.callSid, listenId: listen.id })
      this.#beginTrace(listen)
    }
    const leg = metadata?.callSid
    this.#startedAt = isoTime()
    const started: ListenFields = {
      startedAt: listen.startedAt ?? this.#startedAt,
      path: route.path,
      mixType: stream.mixType,
      sampleRate: stream.sampleRate,
      channels: stream.channels,
      ...(listen.paused && { paused: listen.paused }),
      ...(typeof leg === 'string' && leg !== listen.callSid && { legCallSid: leg })
    }
    live.know(Object.freeze({ ...listen, ...started, state: 'streaming', connected: true, instance }))
    // True if the store does not know the call, as after a restart of the store. The metadata then describes the call.
    const isNews = leg === listen.callSid && stream.call.callStatus === undefined
    this.#enqueue(() => correlation.streaming(listen, started, isNews ? metadata : undefined)).then(
      (known) => {
        // Another instance has ended the listen and its call meanwhile, so this socket is closed.
        if (known?.streams === false) live.end('closed')
      }
    )
    if (recordings && route.record) {
      this.#recorder = recordings.start(
        stream,
        (error) => correlation.emit('recordingFailed', error, stream.listen),
        route.output ? (frame) => live.heardIn(frame) : undefined
      )
      live.recording = new StreamRecordingControl(this.#recorder, live)
      live.addSink(this.#recorder, { live: false })
    }
    // The listen became private on its last socket, so privacy goes on.
    if (listen.paused) live.beginPrivacy(listen.paused)
    live.onPrivacy = (paused) => this.#notePrivacy(paused)
    if (route.paced !== false) stream.paced = route.paced
    watchEndConditions(live, stream, { silenceLevel: options.silenceLevel })
    correlation.emit('stream', stream)
    this.#handle(live, stream)
    this.#logger.info({ mixType: stream.mixType, sampleRate: stream.sampleRate }, 'listen streams')
  }

  #handle(live: LiveStream, stream: AudioStream): void {
    const { handler } = this.#deps.route
    if (handler === undefined) return
    const run = async () => await handler.call(this.#deps.scope, stream)
    const running = this.#trace ? this.#trace.run(run) : run()
    live.keepFor(running)
    let hungUp = false
    live.done.then(() => {
      hungUp = true
    })
    running.catch((err: unknown) => {
      if (hungUp && ENDS_OF_A_STREAM.includes((err as { code?: string } | null)?.code ?? '')) {
        return this.#logger.debug({ err }, 'the audio handler failed after the end of its stream')
      }
      this.#logger.error({ err }, 'the audio handler threw: its stream ends')
      this.#trace?.fail(err)
      live.endOrClose('error', CLOSE.ourFault, 'audio handler failed')
    })
  }

  /**
   * Handles the close of the socket. When another socket may continue the listen, resolves to a function that
   * does the rest of the work, or to undefined if no work is left.
   */
  async #closed(end: StreamEnd): Promise<(() => Promise<void>) | undefined> {
    const { live } = this
    const { call, listen } = live
    // The socket never named its listen, so there is no listen to end.
    if (call === undefined || listen === undefined) return undefined
    const { correlation, instance } = this.#deps.services
    const segment: ListenSegment = {
      instance,
      ...(this.#startedAt && { startedAt: this.#startedAt }),
      endedAt: isoTime(),
      audio: live.counts,
      ...(this.#recorder && { recorded: true })
    }
    const open = { from: this.#deps.requestedAt, until: live.openUntil }
    const reason = correlation.endReasonOf(listen, end.reason, open)
    const ended: ListenFields = {
      endReason: reason,
      endedAt: segment.endedAt,
      ...(listen.segments === undefined ? { audio: live.counts } : withSegment(listen, segment)),
      ...(live.digits !== undefined && { digits: live.digits }),
      ...outputOf(listen, live.output)
    }
    const saving = this.#save(listen, { ...listen, ...ended, state: 'ended', connected: true })
    const handsOver = this.#handsOver && (reason === 'drained' || reason === 'otherEnded')
    const goesOn = handsOver || (await this.#enqueue(() => goesOnWithCall(correlation, call, listen, reason)))
    const given = goesOn ? await this.#give(listen, segment) : undefined
    return given
      ? async () => {
          const saved = await saving
          await this.#enqueue(() => correlation.saved(given.listen, given.listen.segments?.length, saved))
          this.#endTrace({ ...listen, ...saved }, end, true)
        }
      : async () => await this.#end(call, listen, { ...end, reason }, { ...ended, ...(await saving) })
  }

  /** Marks the listen in the store as free for another instance. Resolves to undefined if the listen has ended. */
  async #give(listen: Listen, segment: ListenSegment): Promise<Correlated | undefined> {
    const given = await this.#enqueue(() =>
      this.#deps.services.correlation.handedOver(listen, segment, {
        paused: this.live.privacy,
        ...outputOf(listen, this.live.output)
      })
    )
    if (given) {
      this.#logger.info({ segment: given.listen.segments?.length, ...segment.audio }, 'listen handed over')
    }
    return given
  }

  async #end(call: Call, before: Listen, end: StreamEnd, ended: ListenFields): Promise<void> {
    const { reason, error } = end
    const { correlation } = this.#deps.services
    const last: Listen = { ...before, ...ended, state: 'ended', connected: true }
    if (ended.recording && !ended.recordingError) correlation.tellRecording(ended.recording, last)
    const final = { ...ended, ...(ended.segments && { saved: ended.segments.length }) }
    const closed = await this.#enqueue(() => correlation.closed(before, final))
    // If the store failed, no other instance emits the event, so this instance emits it.
    if (closed === undefined) correlation.emit('listenEnded', last, call)
    const listen = closed?.listen ?? last
    this.#logger.info({ endReason: reason, ...listen.audio, ...(error && { err: error }) }, 'listen ended')
    this.#endTrace(listen, end, false)
  }

  #endTrace(listen: Listen, { reason, error }: StreamEnd, handedOver: boolean): void {
    if (this.#trace) {
      endListenSpan(this.#trace, listen, { audio: this.live.counts, reason, error, handedOver })
    }
  }

  /**
   * Resolves to the recording, joined with those of the listen's earlier sockets, once all of them are final.
   * `before`: the listen without the segment of this socket.
   */
  async #save(before: Listen, ended: Listen): Promise<Saved> {
    const { correlation } = this.#deps.services
    const earlier = recordingsOf(correlation, before).catch((err: unknown) => this.#storeFailed(err))
    if (this.#recorder === undefined) return { recording: (await earlier)?.recording }
    const own = await this.#finishRecording(ended, this.#recorder)
    return own.recording ? { ...own, recording: withKnown(own.recording, (await earlier)?.recording) } : own
  }

  /** Resolves to the finished recording, or to the error, which was logged before, and the part that was saved. */
  async #finishRecording(
    listen: Listen,
    recorder: Recorder
  ): Promise<{ recording?: FinishedRecording; recordingError?: string }> {
    try {
      return { recording: await recorder.finish(listen) }
    } catch (err) {
      const { message, recording } = err as RecordingError
      return { recordingError: message, ...(recording && { recording }) }
    }
  }

  #notePrivacy(paused: PauseMode | false): void {
    const { listen } = this.live
    if (listen === undefined) return
    this.live.know(Object.freeze({ ...listen, paused }))
    this.#enqueue(() => this.#deps.services.correlation.paused(listen, paused))
  }

  /** Runs a write after all earlier writes. Resolves to its result; to undefined if the store failed. */
  #enqueue<T>(write: () => Promise<T>): Promise<T | undefined> {
    const written = this.#writes.then(write).catch((err: unknown) => this.#storeFailed(err))
    this.#writes = written
    return written
  }

  #storeFailed(err: unknown): undefined {
    this.#logger.error({ err }, 'the store failed: the listen in it is incomplete')
  }
}
