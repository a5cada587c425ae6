import { Type } from '@sinclair/typebox'
import type { FastifyBaseLogger, FastifyInstance, FastifySchema, RouteGenericInterface } from 'fastify'
import type { WebSocketServer } from 'ws'
import { registerActionHook } from '../routes/actionHook.js'
import { registerAudio } from '../routes/audio.js'
import { registerStatusHook } from '../routes/statusHook.js'
import { registerWebhook } from '../routes/webhook.js'
import type { Application } from './application/Application.js'
import type { LiveCalls } from './application/control/LiveCalls.js'
import type {
  ActionHookHandler,
  CheckedHandler,
  HookRouteOptions,
  ListenHookRequest,
  StatusHandler,
  WebhookHandler,
  WebhookRequest,
  WebhookRouteOptions
} from './application/verbRoute.js'
import { checkAudioOptions, type AudioHandler, type AudioRouteOptions } from './listening/AudioRoutes.js'
import type { LiveListenServices } from './listening/LiveListen.js'
import type { LiveListens, LiveStreams } from './listening/LiveListens.js'
import { joinPath } from './listening/ownUrls.js'
import { checkOptions, kindOf } from './model/checkOptions.js'
import { ERR_OPTIONS } from './model/errors.js'
import { HOOK_WAIT } from './model/listenLife.js'
import type { Metrics } from './metrics/Metrics.js'
import type { ResolvedOptions } from './options.js'
import type { HandlerResult, VerbsResult } from './verbs/index.js'

/** The parts of one registration of the plugin, which its routes use. */
export interface Runtime extends Application, LiveListenServices {
  readonly options: ResolvedOptions
  readonly logger: FastifyBaseLogger
  readonly calls: LiveCalls
  readonly liveListens: LiveListens
  readonly metrics: Metrics
  /** opens the audio sockets, with our settings */
  readonly audioServer: WebSocketServer
  /** removes the metrics from the option `registry` */
  readonly leaveRegistry: (() => void) | undefined
}

/** ms to wait for the actionHook of a drained listen */
const HOOK_PATIENCE = 3_000
/** ms to wait for the answer of a hook: the hook may wait for its listen, and then its handler gets 3 s */
const ANSWER_PATIENCE = HOOK_WAIT + 3_000

const DrainOptionsSchema = Type.Object(
  { handover: Type.Optional(Type.Boolean()) },
  { additionalProperties: false }
)

/** `fastify.jambonz` of one Fastify instance. Its routes have the prefix and the hooks of that instance. */
export class Jambonz {
  readonly #instance: FastifyInstance
  readonly #runtime: Runtime

  constructor(instance: FastifyInstance, runtime: Runtime) {
    this.#instance = instance
    this.#runtime = runtime
  }

  /** Name of this process in the store, as it stands in `Listen.instance`. */
  get instance(): string {
    return this.#runtime.instance
  }

  /** True once `drain()` has begun, so that this instance accepts no streams of new calls. */
  get draining(): boolean {
    return this.#runtime.liveListens.sealed
  }

  /** The calls of the shared store, the events of this instance, and commands for live calls. */
  get calls(): LiveCalls {
    return this.#runtime.calls
  }

  /** The live streams of this instance: `get(callSid or listenId)` and `list()`. */
  get streams(): LiveStreams {
    return this.#runtime.liveListens.streams
  }

  /**
   * Adds POST `path`, which answers a call, or a hook of any verb but listen. The handler returns an array of verbs,
   * one verb, a `WebhookResponse` of `@jambonz/sdk`, or nothing.
   */
  webhook<
    Route extends RouteGenericInterface = RouteGenericInterface,
    const Result extends VerbsResult | void = VerbsResult | void
  >(path: string, handler: CheckedHandler<WebhookRequest<object, Route>, Result>): this
  webhook<const Result extends VerbsResult | void>(
    path: string,
    handler: CheckedHandler<WebhookRequest, Result>
  ): this
  webhook<Route extends RouteGenericInterface = RouteGenericInterface, const Result = HandlerResult | void>(
    path: string,
    handler: CheckedHandler<WebhookRequest<object, Route>, Result>
  ): this
  webhook<const Schema extends FastifySchema, const Result extends VerbsResult | void>(
    path: string,
    options: WebhookRouteOptions<Schema>,
    handler: CheckedHandler<WebhookRequest<Schema>, Result>
  ): this
  webhook<
    Route extends RouteGenericInterface = RouteGenericInterface,
    const Schema extends FastifySchema = object,
    const Result = HandlerResult | void
  >(
    path: string,
    options: WebhookRouteOptions<Schema>,
    handler: CheckedHandler<WebhookRequest<Schema, Route>, Result>
  ): this
  webhook(path: string, ...rest: [WebhookHandler] | [WebhookRouteOptions, WebhookHandler]): this {
    const [options, handler] = readArguments<WebhookRouteOptions, WebhookHandler>('webhook', path, rest)
    return this.#add('webhook', path, () => {
      registerWebhook(this.#instance, this.#runtime, path, options, handler)
    })
  }

  /**
   * Adds POST and GET `path`. The handler runs when a listen (`request.listen`) has ended and its audio is
   * complete.
   */
  actionHook<const Result extends VerbsResult | void>(
    path: string,
    handler: CheckedHandler<ListenHookRequest, Result>
  ): this
  actionHook<
    Route extends RouteGenericInterface = RouteGenericInterface,
    const Result = HandlerResult | void
  >(path: string, handler: CheckedHandler<ListenHookRequest<object, Route>, Result>): this
  actionHook<const Schema extends FastifySchema, const Result extends VerbsResult | void>(
    path: string,
    options: HookRouteOptions<Schema>,
    handler: CheckedHandler<ListenHookRequest<Schema>, Result>
  ): this
  actionHook<
    Route extends RouteGenericInterface = RouteGenericInterface,
    const Schema extends FastifySchema = object,
    const Result = HandlerResult | void
  >(
    path: string,
    options: HookRouteOptions<Schema>,
    handler: CheckedHandler<ListenHookRequest<Schema, Route>, Result>
  ): this
  actionHook(path: string, ...rest: [ActionHookHandler] | [HookRouteOptions, ActionHookHandler]): this {
    const [options, handler] = readArguments<HookRouteOptions, ActionHookHandler>('actionHook', path, rest)
    return this.#add('actionHook', path, () => {
      registerActionHook(this.#instance, this.#runtime, path, options, handler)
    })
  }

  /** Adds POST `path` for call status events, which update and end the `Call`s. The handler is optional. */
  statusHook<Route extends RouteGenericInterface = RouteGenericInterface>(
    path: string,
    handler?: StatusHandler<Route>
  ): this
  statusHook(path: string, ...rest: [StatusHandler?]): this {
    const [handler] = rest
    const place = checkPath('statusHook', path)
    if (rest.length > 1) throw new ERR_OPTIONS(`${place} has no options: write ${USAGE.statusHook}`)
    if (handler !== undefined) checkHandler('statusHook', place, handler)
    return this.#add('statusHook', path, () => {
      registerStatusHook(this.#instance, this.#runtime, path, handler)
    })
  }

  /** Adds the websocket `path`. Listen verbs whose `url` is this path stream their audio to the handler. */
  audio(path: string, handler: AudioHandler): this
  audio(path: string, options: AudioRouteOptions, handler: AudioHandler): this
  audio(path: string, ...rest: [AudioHandler] | [AudioRouteOptions, AudioHandler]): this {
    const [options, handler] = readArguments<AudioRouteOptions, AudioHandler>('audio', path, rest)
    checkAudioOptions(options, path)
    const { record = true, output = true, paced = false } = options
    const route = { path: joinPath(this.#instance.prefix, path), record, output, paced, handler }
    return this.#add('audio', path, () => {
      registerAudio(this.#instance, this.#runtime, path, route)
    })
  }

  /**
   * Refuses sockets of new calls (503). Waits up to `timeoutMs` (default 0) for the streams of earlier calls
   * to end, and lets these calls open streams meanwhile. Then ends the remaining streams, so that jambonz
   * calls their actionHooks. Closes each application websocket when jambonz awaits no answer on it. Resolves
   * when every recording is final and each hook is answered, or has come to another instance. Waits at most
   * 3 s for the hooks, and 8 s for their answers, since a hook may wait 5 s for its listen, and its handler
   * gets 3 s. Await it before `fastify.close()`, which also ends live streams, but answers their hooks with
   * 503. With `handover`, foreground listens, and the background listens of their calls, continue on another
   * instance, which takes their next sockets. This needs several instances with one store and one `secret`.
   */
  async drain(timeoutMs = 0, options: { handover?: boolean | undefined } = {}): Promise<void> {
    if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) {
      throw new ERR_OPTIONS(
        `drain(): timeoutMs is ${kindOf(timeoutMs)}, not ms as a number: write drain(timeoutMs, { handover })`
      )
    }
    checkOptions(DrainOptionsSchema, options, 'options of drain()')
    const { handover = false } = options
    const { correlation, liveListens, openHooks, sockets } = this.#runtime
    if (handover && !correlation.store.shared) {
      this.#instance.log.warn(
        'drain({ handover: true }): no other instance can continue the listens, since the store is in the memory of this process. They end after timeoutMs. Give all instances one redisStore()'
      )
    }
    // Without a handover, calls may reconnect while they are given time, since there may be no other instance.
    if (handover || timeoutMs <= 0) sockets.seal()
    const answered = (ms: number): Promise<void> => openHooks.answered(Math.min(ms, ANSWER_PATIENCE))
    await liveListens.drain({ timeoutMs, handover, hookPatience: HOOK_PATIENCE, answered })
    await Promise.all([answered(Infinity), sockets.drain(ANSWER_PATIENCE)])
  }

  /** Calls `add`. Fastify's error for a route that comes too late does not name the route, so ours replaces it. */
  #add(method: Method, path: string, add: () => void): this {
    try {
      add()
    } catch (err) {
      if ((err as { code?: unknown } | null)?.code !== BOOTED) throw err
      throw new ERR_OPTIONS(
        `${method}('${path}') came too late: the application has started. Call it before fastify.listen() and fastify.ready()`
      )
    }
    return this
  }

  /**
   * Returns the metrics of this instance in Prometheus' text format 0.0.4. The option `registry` contains them, too.
   */
  metrics(): string {
    return this.#runtime.metrics.text()
  }
}

/** The code of avvio's error for a plugin that is registered after the start of the application. */
const BOOTED = 'AVV_ERR_ROOT_PLG_BOOTED'

/** The methods that add a route, and their arguments, for the texts of errors. */
const USAGE = {
  webhook: 'webhook(path, handler) or webhook(path, options, handler)',
  actionHook: 'actionHook(path, handler) or actionHook(path, options, handler)',
  statusHook: 'statusHook(path) or statusHook(path, handler)',
  audio: 'audio(path, handler) or audio(path, options, handler)'
} as const
type Method = keyof typeof USAGE

/**
 * Returns the options and the handler, which follow a path. Throws FST_JAMBONZ_OPTIONS for other arguments, since an
 * application in JavaScript has no compiler that would report them.
 */
function readArguments<Options extends object, Handler>(
  method: Method,
  path: unknown,
  rest: readonly unknown[]
): [Options, Handler] {
  const place = checkPath(method, path)
  const [options = {}, handler] = rest.length > 1 ? rest : [{}, rest[0]]
  if (typeof handler !== 'function' && typeof options === 'function') {
    throw new ERR_OPTIONS(`${place}: the handler must be the last argument: write ${USAGE[method]}`)
  }
  if (rest.length > 2) throw new ERR_OPTIONS(`${place} has too many arguments: write ${USAGE[method]}`)
  checkHandler(method, place, handler)
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new ERR_OPTIONS(`${place}: the options are ${kindOf(options)}: write ${USAGE[method]}`)
  }
  return [options as Options, handler as Handler]
}

/** Returns the call of the method with this path, for the texts of errors. */
function checkPath(method: Method, path: unknown): string {
  if (typeof path !== 'string') {
    throw new ERR_OPTIONS(`${method}(): the path is ${kindOf(path)}, not a string: write ${USAGE[method]}`)
  }
  const place = `${method}('${path}')`
  if (!/^(?:$|[/*])/.test(path)) {
    throw new ERR_OPTIONS(`${place}: the path must begin with a slash: '/${path}'`)
  }
  return place
}

function checkHandler(method: Method, place: string, handler: unknown): void {
  if (typeof handler === 'function') return
  if (handler === undefined) throw new ERR_OPTIONS(`${place} has no handler: write ${USAGE[method]}`)
  const hint = Array.isArray(handler)
    ? `pass a function that returns the verbs, as in ${method}(path, () => verbs)`
    : `write ${USAGE[method]}`
  throw new ERR_OPTIONS(`${place}: the handler is ${kindOf(handler)}, not a function: ${hint}`)
}
