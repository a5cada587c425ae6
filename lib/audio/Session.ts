import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import type { Correlated } from '../calls/Correlator.js'
import { callFieldsOfMetadata } from '../webhook/payload.js'
import type { Listen } from '../calls/schema.js'
import type { Recorder, RecordingError } from '../recording/index.js'
import type { Runtime } from '../Runtime.js'
import { LISTEN_METADATA_KEY } from '../verbs/index.js'
import type { AudioRoute } from './AudioRoutes.js'
import { AudioStream, watchEndConditions, type StreamEnd } from './index.js'

const INTERNAL_ERROR = 1011

export interface SessionDeps extends Pick<Runtime, 'options' | 'correlator' | 'recordings' | 'instance'> {
  /** the scope that registered the route: `this` of its handler */
  scope: FastifyInstance
  route: AudioRoute
  logger: FastifyBaseLogger
}

/**
 * One socket, from its upgrade to the moment its listen is final: gives the stream its recorder and its handler, and
 * tells the store what became of it.
 */
export class Session {
  readonly stream: AudioStream
  /** Settles, never rejects, when the listen has ended, its recording is final and the store knows. */
  readonly over: Promise<void>
  readonly #deps: SessionDeps
  #logger: FastifyBaseLogger
  #recorder?: Recorder
  // Writes of one listen, in order.
  #writes: Promise<unknown> = Promise.resolve()

  /** `claimed`: the listen that the socket's path named, taken before the upgrade. */
  constructor (socket: WebSocket, claimed: Correlated | undefined, deps: SessionDeps) {
    this.#deps = deps
    this.#logger = claimed ? deps.logger.child({ callSid: claimed.call.callSid, listenId: claimed.listen.id }) : deps.logger
    this.stream = new AudioStream({
      socket,
      ...claimed,
      identify: (metadata) => this.#identify(metadata),
      begin: (stream) => this.#begin(stream),
      limits: deps.options.limits,
      logger: this.#logger
    })
    this.over = this.stream.done.then((end) => this.#end(end))
  }

  async #identify (metadata: Record<string, unknown> | undefined): Promise<Correlated> {
    if (typeof metadata?.callSid !== 'string') throw new Error('the first frame names no callSid')
    return await this.#deps.correlator.identify(metadata, LISTEN_METADATA_KEY, this.#deps.route.path)
  }

  #begin (stream: AudioStream): void {
    const { correlator, recordings, route, options, instance } = this.#deps
    const { listen, metadata } = stream
    this.#logger = this.#deps.logger.child({ callSid: stream.callSid, listenId: listen.id })
    const leg = metadata?.callSid
    const started: Partial<Listen> = {
      state: 'streaming',
      connected: true,
      startedAt: new Date().toISOString(),
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
      this.#recorder = recordings.start(stream, (error) => correlator.emit('recordingFailed', error, stream.listen))
      stream.recording = this.#recorder
      stream.addSink(this.#recorder, { live: false })
    }
    watchEndConditions(stream, { silenceLevel: options.silenceLevel })
    correlator.emit('stream', stream)
    this.#handle(stream)
    this.#logger.info({ mixType: stream.mixType, sampleRate: stream.sampleRate }, 'listen streams')
  }

  #handle (stream: AudioStream): void {
    const { route: { handler }, scope } = this.#deps
    if (handler === undefined) return
    const running = (async () => await handler.call(scope, stream))()
    stream.holdFor(running)
    running.catch((err: unknown) => {
      this.#logger.error({ err }, 'the audio handler threw: its stream ends')
      stream.stopNow('error', INTERNAL_ERROR, 'audio handler failed')
    })
  }

  async #end (end: StreamEnd): Promise<void> {
    const { correlator } = this.#deps
    const { stream } = this
    // A socket that never said which listen it is for has nothing to end.
    if (stream.listen === undefined) return
    const ended: Partial<Listen> = {
      state: 'ended',
      connected: true,
      endReason: end.reason,
      endedAt: new Date().toISOString(),
      audio: stream.counts,
      ...(stream.digits !== undefined && { digits: stream.digits })
    }
    const final = { ...ended, ...await this.#finishRecording({ ...stream.listen, ...ended }) }
    const written = await this.#write(stream.listen, final)
    const { call, listen } = written ?? { call: stream.call, listen: { ...stream.listen, ...final } }
    this.#logger.info({ endReason: end.reason, ...listen.audio, ...(end.error && { err: end.error }) }, 'listen ended')
    correlator.emit('listenEnded', listen, call)
  }

  /** What failed was told when it failed; what could be saved of it is the recording all the same. */
  async #finishRecording (listen: Listen): Promise<Pick<Listen, 'recording' | 'recordingError'>> {
    if (this.#recorder === undefined) return {}
    try {
      const recording = await this.#recorder.finish(listen)
      this.#deps.correlator.emit('recording', recording, { ...listen, recording })
      return { recording }
    } catch (err) {
      const { message, recording } = err as RecordingError
      return { recordingError: message, ...(recording && { recording }) }
    }
  }

  #write (listen: Listen, fields: Partial<Listen>): Promise<Correlated | undefined> {
    return this.#enqueue(() => this.#deps.correlator.write(listen, fields))
  }

  /** One write after the other; undefined where the store failed. */
  #enqueue<T> (write: () => Promise<T>): Promise<T | undefined> {
    const written = this.#writes.then(write).catch((err: unknown) => {
      this.#logger.error({ err }, 'the listen could not be written to the store')
      return undefined
    })
    this.#writes = written
    return written
  }
}
