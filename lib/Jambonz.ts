import type { FastifyBaseLogger, FastifyInstance, FastifySchema } from 'fastify'
import type { WebSocketServer } from 'ws'
import { registerActionHook } from '../routes/actionHook.js'
import { registerAudio } from '../routes/audio.js'
import { registerStatusHook } from '../routes/statusHook.js'
import { registerWebhook } from '../routes/webhook.js'
import type { Application } from './application/Application.js'
import type { LiveCalls } from './application/control/LiveCalls.js'
import type {
  ActionHookHandler,
  HookRouteOptions,
  ListenHookRequest,
  Returning,
  StatusHandler,
  WebhookHandler,
  WebhookRequest,
  WebhookRouteOptions
} from './application/verbRoute.js'
import type { AudioHandler, AudioRouteOptions } from './listening/AudioRoutes.js'
import type { LiveListenServices } from './listening/LiveListen.js'
import type { LiveListens } from './listening/LiveListens.js'
import { joinPath } from './listening/ownUrls.js'
import { HOOK_WAIT } from './model/listenLife.js'
import type { Metrics } from './metrics/Metrics.js'
import type { ResolvedOptions } from './options.js'
import type { HandlerResult, NoUnknownProperties, VerbsResult } from './verbs/index.js'

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

  /**
   * Adds POST `path`, which answers a call, or a hook of any verb but listen. The handler returns an array of verbs,
   * one verb, a `WebhookResponse` of `@jambonz/sdk`, or nothing.
   */
  webhook<const Result extends VerbsResult | void>(
    path: string,
    handler: Returning<WebhookRequest, Result> & NoUnknownProperties<Result>
  ): this
  webhook<const Result extends HandlerResult | void>(
    path: string,
    handler: Returning<WebhookRequest, Result> & NoUnknownProperties<Result>
  ): this
  webhook<const Schema extends FastifySchema, const Result extends VerbsResult | void>(
    path: string,
    options: WebhookRouteOptions<Schema>,
    handler: Returning<WebhookRequest<Schema>, Result> & NoUnknownProperties<Result>
  ): this
  webhook<const Schema extends FastifySchema, const Result extends HandlerResult | void>(
    path: string,
    options: WebhookRouteOptions<Schema>,
    handler: Returning<WebhookRequest<Schema>, Result> & NoUnknownProperties<Result>
  ): this
  webhook(path: string, ...rest: [WebhookHandler] | [WebhookRouteOptions, WebhookHandler]): this {
    const [options, handler] = withOptions(rest)
    registerWebhook(this.#instance, this.#runtime, path, options, handler)
    return this
  }

  /**
   * Adds POST and GET `path`. The handler runs when a listen (`request.listen`) has ended and its audio is
   * complete.
   */
  actionHook<const Result extends VerbsResult | void>(
    path: string,
    handler: Returning<ListenHookRequest, Result> & NoUnknownProperties<Result>
  ): this
  actionHook<const Result extends HandlerResult | void>(
    path: string,
    handler: Returning<ListenHookRequest, Result> & NoUnknownProperties<Result>
  ): this
  actionHook<const Schema extends FastifySchema, const Result extends VerbsResult | void>(
    path: string,
    options: HookRouteOptions<Schema>,
    handler: Returning<ListenHookRequest<Schema>, Result> & NoUnknownProperties<Result>
  ): this
  actionHook<const Schema extends FastifySchema, const Result extends HandlerResult | void>(
    path: string,
    options: HookRouteOptions<Schema>,
    handler: Returning<ListenHookRequest<Schema>, Result> & NoUnknownProperties<Result>
  ): this
  actionHook(path: string, ...rest: [ActionHookHandler] | [HookRouteOptions, ActionHookHandler]): this {
    const [options, handler] = withOptions(rest)
    registerActionHook(this.#instance, this.#runtime, path, options, handler)
    return this
  }

  /** Adds POST `path` for call status events, which update and end the `Call`s. The handler is optional. */
  statusHook(path: string, handler?: StatusHandler): this {
    registerStatusHook(this.#instance, this.#runtime, path, handler)
    return this
  }

  /** Adds the websocket `path`. Listen verbs whose `url` is this path stream their audio to the handler. */
  audio(path: string, handler: AudioHandler): this
  audio(path: string, options: AudioRouteOptions, handler: AudioHandler): this
  audio(path: string, ...rest: [AudioHandler] | [AudioRouteOptions, AudioHandler]): this {
    const [{ record = true, output = true, paced = false }, handler] = withOptions(rest)
    registerAudio(this.#instance, this.#runtime, path, {
      path: joinPath(this.#instance.prefix, path),
      record,
      output,
      paced,
      handler
    })
    return this
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
  async drain(timeoutMs = 0, { handover = false }: { handover?: boolean } = {}): Promise<void> {
    const { liveListens, openHooks, sockets } = this.#runtime
    // Without a handover, calls may reconnect while they are given time, since there may be no other instance.
    if (handover || timeoutMs <= 0) sockets.seal()
    const answered = (ms: number): Promise<void> => openHooks.answered(Math.min(ms, ANSWER_PATIENCE))
    await liveListens.drain({ timeoutMs, handover, hookPatience: HOOK_PATIENCE, answered })
    await Promise.all([answered(Infinity), sockets.drain(ANSWER_PATIENCE)])
  }

  /**
   * Returns the metrics of this instance in Prometheus' text format 0.0.4. The option `registry` contains them, too.
   */
  metrics(): string {
    return this.#runtime.metrics.text()
  }
}

function withOptions<Options extends object, Handler>(
  rest: [Handler] | [Options, Handler]
): [Options, Handler] {
  return rest.length === 1 ? [{} as Options, rest[0]] : rest
}
