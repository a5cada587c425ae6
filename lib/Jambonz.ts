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
import type { Metrics } from './metrics/Metrics.js'
import type { ResolvedOptions } from './options.js'
import type { HandlerResult, NoUnknownProperties, VerbsResult } from './verbs/index.js'

/** The parts of one registration of the plugin, as its routes get them. */
export interface Runtime extends Application, LiveListenServices {
  readonly options: ResolvedOptions
  readonly logger: FastifyBaseLogger
  readonly calls: LiveCalls
  readonly liveListens: LiveListens
  readonly metrics: Metrics
  /** opens the audio sockets: their settings are ours, whatever the application's own have */
  readonly audioServer: WebSocketServer
  /** takes the metrics out of the option `registry` */
  readonly leaveRegistry: (() => void) | undefined
}

/** ms that the actionHook of a listen which was drained may take to come */
const HOOK_PATIENCE = 3_000
/** ms that a hook which has come may take to be answered */
const ANSWER_PATIENCE = 3_000

/** `fastify.jambonz`, as seen from one Fastify instance: the routes it adds have that instance's prefix and hooks. */
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

  /** true once `drain()` has begun: this instance takes no new streams. */
  get draining(): boolean {
    return this.#runtime.liveListens.sealed
  }

  /** The calls of the shared store, the events of this instance, and the control of live calls. */
  get calls(): LiveCalls {
    return this.#runtime.calls
  }

  /**
   * POST `path`: answers a call, or a hook of any verb but listen, with verbs. The handler returns an array of
   * verbs, one verb, a `WebhookResponse` of `@jambonz/sdk`, or nothing.
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

  /** POST and GET `path`: runs when a listen has ended and its audio is complete: `request.listen`. */
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

  /** POST `path`: call status events. They keep `Call`s current and end them; the handler may look on. */
  statusHook(path: string, handler?: StatusHandler): this {
    registerStatusHook(this.#instance, this.#runtime, path, handler)
    return this
  }

  /** Websocket `path`: listen verbs whose `url` is this path stream their audio to the handler. */
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
   * Takes no new streams (503), lets the live ones end for `timeoutMs` (default 0), then ends the rest, so that
   * jambonz calls their actionHooks. Resolves when every recording is final and those hooks are answered, or have come
   * to another instance; it waits 3 s at most for them to come, and 3 s for an answer. To be awaited before
   * `fastify.close()`, which ends what is live as well, but answers hooks with 503.
   * `handover`: listens in the foreground don't end, but go on at once on another instance, which takes their next
   * socket, and the background listens of their calls with them: for several instances with one store and one `secret`.
   */
  async drain(timeoutMs = 0, { handover = false }: { handover?: boolean } = {}): Promise<void> {
    const { liveListens, openHooks, sockets } = this.#runtime
    sockets.seal()
    await liveListens.drain({ timeoutMs, handover, hookPatience: HOOK_PATIENCE })
    await openHooks.answered(ANSWER_PATIENCE)
    await sockets.drain()
  }

  /** The metrics of this instance, in Prometheus' text format (version 0.0.4); with the option `registry` it has them, too. */
  metrics(): string {
    return this.#runtime.metrics.text()
  }
}

function withOptions<Options extends object, Handler>(
  rest: [Handler] | [Options, Handler]
): [Options, Handler] {
  return rest.length === 1 ? [{} as Options, rest[0]] : rest
}
