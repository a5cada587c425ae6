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
  type WebhookHandler,
  type WebhookRouteOptions
} from '../lib/application/verbRoute.js'
import { joinPath } from '../lib/listening/ownUrls.js'
import { callFields, CallWebhookSchema } from '../lib/model/payloads.js'
import { ERR_SIGNATURE_GET } from '../lib/model/errors.js'

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
  const { env, ...routeOptions } = options as WebhookRouteOptions & Partial<RouteOptions>
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
    request.call = await correlation.arrived(payload.call_sid, fields)
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
