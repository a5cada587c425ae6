import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import type { Correlated, Correlator } from '../correlation/Correlator.js'
import type { Handover } from '../correlation/Handover.js'
import { callFieldsOfMetadata } from '../model/callFields.js'
import type { Listen, ListenSegment } from '../model/schema.js'
import { lengthLeft, withSegment } from '../model/segments.js'
import {
  withKnown,
  type FinishedRecording,
  type Recorder,
  type RecordingError,
  type Recordings
} from '../recording/index.js'
import type { Trace, Tracing } from '../model/tracing.js'
import { LISTEN_METADATA_KEY } from '../verbs/index.js'
import type { AudioRoute } from './AudioRoutes.js'
import { AudioStream, watchEndConditions, type StreamEnd, type StreamLimits } from '../audio/index.js'
import { beginListenSpan, endListenSpan } from './listenSpan.js'
import { livePauses } from './livePauses.js'

const INTERNAL_ERROR = 1011
/** What a handler that still speaks is told when the caller hangs up: no fault of its own. */
const ENDS_OF_A_STREAM = [
  'FST_JAMBONZ_AUDIO_CLOSED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'ABORT_ERR'
]

type Saved = Pick<Listen, 'recording' | 'recordingError'>

/** What sessions need of the plugin. */
export interface SessionServices {
  readonly options: { readonly limits: StreamLimits; readonly silenceLevel: number }
  readonly correlator: Correlator
  readonly handover: Handover
  /** undefined: nothing is recorded */
  readonly recordings: Recordings | undefined
  /** name of this process in the store */
  readonly instance: string
  /** undefined: nothing is traced */
  readonly tracing: Tracing | undefined
}

export interface SessionDeps extends SessionServices {
  /** the scope that registered the route: `this` of its handler */
  scope: FastifyInstance
  route: AudioRoute
  /** names the listen already, where it is `claimed` */
  logger: FastifyBaseLogger
}

/**
 * One socket, from its upgrade to the moment its listen is final: gives the stream its recorder and its handler, and
 * tells the store what became of it.
 */
export class Session {
  readonly stream: AudioStream
  /** Settles, never rejects, when the socket has closed and, where it is handed over, another may take its place. */
  readonly released: Promise<void>
  /** Settles, never rejects, when the listen has ended or gone on, its recording is final and the store knows. */
  readonly over: Promise<void>
  readonly #deps: SessionDeps
  readonly #openedAt = Date.now()
  readonly #claimed: boolean
  #logger: FastifyBaseLogger
  #trace?: Trace
  #recorder?: Recorder
  #startedAt?: string
  #handsOver = false
  // Writes of one listen, in order.
  #writes: Promise<unknown> = Promise.resolve()

  /** `claimed`: the listen that the socket's path named, taken before the upgrade. */
  constructor(socket: WebSocket, claimed: Correlated | undefined, deps: SessionDeps) {
    this.#deps = deps
    this.#logger = deps.logger
    this.#claimed = claimed !== undefined
    if (claimed) this.#beginTrace(claimed.listen)
    this.stream = new AudioStream({
      socket,
      ...(claimed && { call: claimed.call, listen: nextSocketOf(claimed.listen) }),
      identify: (metadata) => this.#identify(metadata),
      begin: (stream) => this.#begin(stream),
      limits: deps.options.limits,
      logger: this.#logger
    })
    const closed = this.stream.done.then((end) => this.#closed(end))
    this.released = closed.then(() => {})
    this.over = closed.then((finish) => finish?.())
  }

  /**
   * Ends the socket so that another instance goes on with the listen. False where none can: then nothing is done.
   */
  handOver(): boolean {
    const { stream } = this
    if (stream.listen === undefined || !this.#deps.handover.possible(stream.call, stream.listen)) return false
    this.#handsOver = true
    stream.stop('drained')
    return true
  }

  /** Ends the listen so that jambonz calls its actionHook. */
  stop(): void {
    this.stream.stop('drained')
  }

  /** Resolves when the listen's actionHook has come, to any instance, or after `ms`. */
  async hooked(ms: number): Promise<void> {
    const { call, listen } = this.stream
    if (listen !== undefined) await this.#deps.handover.hooked(call, listen, ms)
  }

  async #identify(metadata: Record<string, unknown> | undefined): Promise<Correlated> {
    if (typeof metadata?.callSid !== 'string') throw new Error('the first frame names no callSid')
    return await this.#deps.correlator.identify(metadata, LISTEN_METADATA_KEY, this.#deps.route.path)
  }

  #beginTrace(listen: Listen): void {
    const { tracing } = this.#deps
    if (tracing) this.#trace = beginListenSpan(tracing, listen, this.#openedAt)
  }

  #begin(stream: AudioStream): void {
    const { correlator, recordings, route, options, instance } = this.#deps
    const { listen, metadata } = stream
    if (!this.#claimed) {
      this.#logger = this.#logger.child({ callSid: stream.callSid, listenId: listen.id })
      this.#beginTrace(listen)
    }
    const leg = metadata?.callSid
    this.#startedAt = new Date().toISOString()
    const started: Partial<Listen> = {
      state: 'streaming',
      connected: true,
      startedAt: listen.startedAt ?? this.#startedAt,
      instance,
      path: route.path,
      mixType: stream.mixType,
      sampleRate: stream.sampleRate,
      channels: stream.channels,
      ...(typeof leg === 'string' && leg !== listen.callSid && { legCallSid: leg })
    }
    stream.listen = Object.freeze({ ...listen, ...started })
    this.#write(listen, started)
    // A call whose webhook the store has never seen: this instance has another store, or a restarted one.
    if (metadata && leg === listen.callSid && stream.call.callStatus === undefined) {
      this.#enqueue(() => correlator.arrive(listen.callSid, callFieldsOfMetadata(metadata)))
    }
    if (recordings && route.record) {
      this.#recorder = recordings.start(stream, (error) =>
        correlator.emit('recordingFailed', error, stream.listen)
      )
      stream.recording = livePauses(this.#recorder, stream)
      stream.addSink(this.#recorder, { live: false })
    }
    stream.paced = route.paced
    watchEndConditions(stream, { silenceLevel: options.silenceLevel })
    correlator.emit('stream', stream)
    this.#handle(stream)
    this.#logger.info({ mixType: stream.mixType, sampleRate: stream.sampleRate }, 'listen streams')
  }

  #handle(stream: AudioStream): void {
    const {
      route: { handler },
      scope
    } = this.#deps
    if (handler === undefined) return
    const run = async () => await handler.call(scope, stream)
    const running = this.#trace ? this.#trace.run(run) : run()
    stream.holdFor(running)
    let hungUp = false
    stream.done.then(() => {
      hungUp = true
    })
    running.catch((err: unknown) => {
      if (hungUp && ENDS_OF_A_STREAM.includes((err as { code?: string } | null)?.code ?? '')) {
        return this.#logger.debug({ err }, 'the audio handler ended with its stream')
      }
      this.#logger.error({ err }, 'the audio handler threw: its stream ends')
      this.#trace?.fail(err instanceof Error ? err : String(err))
      stream.stopNow('error', INTERNAL_ERROR, 'audio handler failed')
    })
  }

  /** Resolves to what is left to be done, when nothing of it keeps another socket from taking the place of this one. */
  async #closed(end: StreamEnd): Promise<(() => Promise<void>) | undefined> {
    const { stream } = this
    // A socket that never said which listen it is for has nothing to end.
    if (stream.listen === undefined) return undefined
    const segment: ListenSegment = {
      instance: this.#deps.instance,
      ...(this.#startedAt && { startedAt: this.#startedAt }),
      endedAt: new Date().toISOString(),
      audio: stream.counts,
      ...(this.#recorder && { recorded: true })
    }
    const ended: Partial<Listen> = {
      state: 'ended',
      connected: true,
      endReason: end.reason,
      endedAt: segment.endedAt,
      ...(stream.listen.segments === undefined
        ? { audio: stream.counts }
        : withSegment(stream.listen, segment)),
      ...(stream.digits !== undefined && { digits: stream.digits })
    }
    const saving = this.#save({ ...stream.listen, ...ended })
    const given = this.#handsOver && end.reason === 'drained' ? await this.#give(segment) : undefined
    return given
      ? async () => {
          const saved = await saving
          await this.#write(given.listen, { ...saved, saved: given.listen.segments?.length })
          this.#endTrace({ ...stream.listen, ...saved }, end, true)
        }
      : async () => {
          await this.#end(end, ended, await saving)
        }
  }

  /** undefined when the listen has ended in the meantime. */
  async #give(segment: ListenSegment): Promise<Correlated | undefined> {
    const given = await this.#enqueue(() =>
      this.#deps.handover.give(this.stream.listen, segment, { connected: true })
    )
    if (given) {
      this.#logger.info({ segment: given.listen.segments?.length, ...segment.audio }, 'listen handed over')
    }
    return given
  }

  async #end(end: StreamEnd, ended: Partial<Listen>, saved: Saved): Promise<void> {
    const { reason, error } = end
    const { correlator } = this.#deps
    const { stream } = this
    if (saved.recording && !saved.recordingError) {
      correlator.emit('recording', saved.recording, { ...stream.listen, ...ended, ...saved })
    }
    const final = { ...ended, ...saved, ...(ended.segments && { saved: ended.segments.length }) }
    const written = await this.#write(stream.listen, final)
    const { call, listen } = written ?? { call: stream.call, listen: { ...stream.listen, ...final } }
    this.#logger.info({ endReason: reason, ...listen.audio, ...(error && { err: error }) }, 'listen ended')
    correlator.emit('listenEnded', listen, call)
    this.#endTrace(listen, end, false)
  }

  #endTrace(listen: Listen, { reason, error }: StreamEnd, handedOver: boolean): void {
    if (this.#trace) {
      endListenSpan(this.#trace, listen, { audio: this.stream.counts, reason, error, handedOver })
    }
  }

  /** The recording, and with it those of the sockets before, when all are final. */
  async #save(listen: Listen): Promise<Saved> {
    if (this.#recorder === undefined) return {}
    const earlier = this.#deps.correlator
      .saved(this.stream.listen)
      .catch((err: unknown) => this.#storeFailed(err))
    const own = await this.#finishRecording(listen, this.#recorder)
    return own.recording ? { ...own, recording: withKnown(own.recording, (await earlier)?.recording) } : own
  }

  /** What failed was told when it failed; what could be saved of it is the recording all the same. */
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

  #write(listen: Listen, fields: Partial<Listen>): Promise<Correlated | undefined> {
    return this.#enqueue(() => this.#deps.correlator.write(listen, fields))
  }

  /** One write after the other; undefined where the store failed. */
  #enqueue<T>(write: () => Promise<T>): Promise<T | undefined> {
    const written = this.#writes.then(write).catch((err: unknown) => this.#storeFailed(err))
    this.#writes = written
    return written
  }

  #storeFailed(err: unknown): undefined {
    this.#logger.error({ err }, 'the store failed: it does not know all of the listen')
  }
}

/** What is left of a listen that had a socket before: jambonz was asked for no more. */
function nextSocketOf(listen: Listen): Listen {
  const left = listen.segments && lengthLeft(listen)
  return left === undefined ? listen : { ...listen, maxLength: left }
}
