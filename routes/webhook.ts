import type {
  FastifyContextConfig,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  RouteOptions
} from 'fastify'
import { bindLog } from '../lib/application/bindLog.js'
import type { Runtime } from '../lib/Runtime.js'
import { callFields } from '../lib/model/callFields.js'
import { payloadReader } from '../lib/application/posted.js'
import { AnswerSchema, CallWebhookSchema } from '../lib/model/payloads.js'
import type { WebhookHandler, WebhookRouteOptions } from '../lib/application/types.js'
import { jambonzScope, verbRoute } from '../lib/application/verbRoute.js'

/**
 * POST: a call's webhook, or a hook of any other verb. OPTIONS, where the application has environment variables: the
 * portal's question for them, which is never signed.
 */
export function registerWebhook<Schema extends FastifySchema>(
  instance: FastifyInstance,
  runtime: Runtime,
  path: string,
  options: WebhookRouteOptions<Schema>,
  handler: WebhookHandler<Schema>
): void {
  const { env, ...routeOptions } = options as WebhookRouteOptions & Partial<RouteOptions>
  const payloadOf = payloadReader(CallWebhookSchema, options.schema)
  jambonzScope(instance, runtime, 'webhook', (scope) => {
    scope.route({
      ...routeOptions,
      method: 'POST',
      url: path,
      schema: { body: CallWebhookSchema, response: { 200: AnswerSchema }, ...options.schema },
      preHandler: [
        async (request: FastifyRequest, reply: FastifyReply) => {
          const payload = payloadOf(request)
          bindLog(request, reply, { callSid: payload.call_sid })
          request.call = await runtime.correlation.arrived(payload.call_sid, callFields(payload))
        },
        ...[routeOptions.preHandler ?? []].flat()
      ],
      ...verbRoute(instance, runtime, handler, routeOptions)
    })
  })
  // The portal's question is no preflight: @fastify/cors of the host must not answer it.
  if (env) {
    instance.options(
      path,
      { schema: { hide: true } as FastifySchema, config: { cors: false } as FastifyContextConfig },
      async () => env
    )
  }
}
