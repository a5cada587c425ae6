import { Type, type TSchema } from '@sinclair/typebox'
import type {
  FastifyContextConfig,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  RouteOptions
} from 'fastify'
import { registerApplicationSocket } from './applicationSocket.js'
import type { Application } from '../lib/application/Application.js'
import { bindLog, payloadOfQuery, payloadReader } from '../lib/application/request.js'
import { routeConfig } from '../lib/application/hookUrls.js'
import {
  routeSchema,
  jambonzScope,
  verbRoute,
  type EnvVariable,
  type HookRouteOptions,
  type WebhookHandler,
  type WebhookRouteOptions
} from '../lib/application/verbRoute.js'
import { joinPath } from '../lib/listening/ownUrls.js'
import { callFields, CallWebhookSchema } from '../lib/model/payloads.js'
import { checkOptions, similarName } from '../lib/model/checkOptions.js'
import { ERR_OPTIONS, ERR_SIGNATURE_GET } from '../lib/model/errors.js'

/** Fastify's route options that the plugin sets itself, with the advice for an application that gives one. */
const TAKEN: ReadonlyMap<string, string> = new Map([
  ['method', 'jambonz may use POST or GET, so both are registered: leave it out'],
  ['url', 'the path is the first argument: leave it out'],
  ['path', 'the path is the first argument: leave it out'],
  ['handler', 'the handler is the last argument: leave it out'],
  ['websocket', "the route has jambonz' own websocket already: leave it out"],
  ['wsHandler', "the route has jambonz' own websocket already: leave it out"]
])

/**
 * Fastify's route options, to find misspelled ones. Other names are accepted, since plugins of Fastify have route
 * options of their own.
 */
const ROUTE_OPTIONS = [
  'attachValidation',
  'bodyLimit',
  'childLoggerFactory',
  'config',
  'constraints',
  'errorHandler',
  'exposeHeadRoute',
  'logLevel',
  'logSerializers',
  'onError',
  'onRequest',
  'onRequestAbort',
  'onResponse',
  'onSend',
  'onTimeout',
  'prefixTrailingSlash',
  'preHandler',
  'preParsing',
  'preSerialization',
  'preValidation',
  'schema',
  'schemaErrorFormatter',
  'serializerCompiler',
  'validatorCompiler'
] as const satisfies ReadonlyArray<keyof HookRouteOptions | keyof RouteOptions>

const EnvSchema = Type.Record(
  Type.String(),
  Type.Object(
    {
      type: Type.Union([Type.Literal('string'), Type.Literal('number'), Type.Literal('boolean')]),
      description: Type.Optional(Type.String()),
      required: Type.Optional(Type.Boolean()),
      default: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
      enum: Type.Optional(Type.Array(Type.Union([Type.String(), Type.Number()])))
    } satisfies Record<keyof EnvOfPortal, TSchema>,
    { additionalProperties: true, description: "as in { type: 'string', description: 'name of the bot' }" }
  )
)
type EnvOfPortal = Pick<EnvVariable, 'type' | 'description' | 'required' | 'default' | 'enum'>

/**
 * Throws FST_JAMBONZ_OPTIONS for an option of a route that would be ignored. `place`: the options, for the text of the
 * error.
 */
export function checkRouteOptions(options: object, place: string, ours: readonly string[] = []): void {
  const known: readonly string[] = [...ROUTE_OPTIONS, ...ours]
  for (const name of Object.keys(options).filter((key) => !known.includes(key))) {
    const advice = TAKEN.get(name)
    if (advice !== undefined) throw new ERR_OPTIONS(`${place}.${name}: ${advice}`)
    const near = similarName(name, known)
    if (near !== undefined) {
      throw new ERR_OPTIONS(`${place}.${name}: there is no such option: did you mean "${near}"?`)
    }
  }
}

/**
 * Registers POST for a call's webhook, or for a hook of any verb but listen. Registers GET for the same,
 * unless the application has a GET route there. With `env`, registers OPTIONS for the jambonz portal, which
 * asks for the variables and never signs this request.
 */
export function registerWebhook<Schema extends FastifySchema>(
  instance: FastifyInstance,
  application: Application,
  path: string,
  options: WebhookRouteOptions<Schema>,
  handler: WebhookHandler<Schema>
): void {
  const place = `options of webhook('${path}')`
  checkRouteOptions(options, place, ['env'])
  const { env, ...routeOptions } = options as WebhookRouteOptions & Partial<RouteOptions>
  if (env !== undefined) checkOptions(EnvSchema, env, `${place}.env`)
  const payloadOf = payloadReader(CallWebhookSchema, options.schema)
  const payloadOfGet = payloadReader(CallWebhookSchema)

  async function arrive(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const payload = request.method === 'GET' ? payloadOfGet(request) : payloadOf(request)
    bindLog(request, reply, { callSid: payload.call_sid })
    const { transport } = request.jambonz!
    const { correlation } = application
    const fields = callFields(payload)
    fields.transport = transport
    if (transport === 'websocket') fields.holder = correlation.deps.instance
    const { call } = await correlation.writeOf(payload.call_sid, fields)
    request.call = call
  }

  /**
   * Takes the query as the payload. Throws if signatures are required, since jambonz signs a payload that a
   * GET does not send.
   */
  async function readQuery(request: FastifyRequest): Promise<void> {
    if (application.options.webhookSecrets.length > 0) throw new ERR_SIGNATURE_GET()
    request.body = payloadOfQuery(request)
  }

  jambonzScope(instance, application, 'webhook', (scope) => {
    const route = {
      ...routeOptions,
      url: path,
      config: routeConfig('webhook', routeOptions),
      ...verbRoute(instance, application, handler, routeOptions)
    }
    const own = [routeOptions.preHandler ?? []].flat()
    scope.route({
      ...route,
      ...routeSchema('POST', CallWebhookSchema, routeOptions),
      method: 'POST',
      preHandler: [arrive, ...own]
    })
    if (scope.hasRoute({ method: 'GET', url: joinPath(scope.prefix, path) })) return
    scope.route({
      ...route,
      ...routeSchema('GET', CallWebhookSchema, routeOptions),
      method: 'GET',
      exposeHeadRoute: false,
      preHandler: [readQuery, arrive, ...own]
    })
  })
  const { constraints } = routeOptions
  registerApplicationSocket(instance, application, path, constraints)
  // The portal's request is no preflight, so @fastify/cors of the host must not answer it.
  if (env) {
    instance.options(
      path,
      {
        ...(constraints && { constraints }),
        schema: { hide: true } as FastifySchema,
        config: { cors: false } as FastifyContextConfig
      },
      async () => env
    )
  }
}
