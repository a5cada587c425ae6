import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Application } from '../lib/application/Application.js'
import { bindLog, payloadReader } from '../lib/application/request.js'
import { routeConfig } from '../lib/application/hookUrls.js'
import {
  routeSchema,
  asError,
  jambonzScope,
  type StatusHandler,
  type StatusRequest
} from '../lib/application/verbRoute.js'
import { joinPath } from '../lib/listening/ownUrls.js'
import { callFields, CallStatusSchema } from '../lib/model/payloads.js'

const NO_CONTENT = 204

/** Registers POST for call status events, of the caller's leg and of dialled legs. jambonz ignores the answer. */
export function registerStatusHook(
  instance: FastifyInstance,
  application: Application,
  path: string,
  handler: StatusHandler | undefined
): void {
  const payloadOf = payloadReader(CallStatusSchema)
  application.sockets.addStatusHook(instance, joinPath(instance.prefix, path))
  jambonzScope(instance, application, 'statusHook', (scope) => {
    const { schema, ...immune } = routeSchema('POST', CallStatusSchema, {})
    scope.post(
      path,
      { ...immune, schema: { body: schema?.body }, config: routeConfig('statusHook') },
      async (request: FastifyRequest, reply) => {
        const payload = payloadOf(request)
        bindLog(request, reply, { callSid: payload.call_sid })
        request.call = await application.correlation.arrived(payload.call_sid, callFields(payload))
        try {
          await handler?.call(instance, request as unknown as StatusRequest, reply)
        } catch (err) {
          throw asError(err)
        }
        return reply.sent ? reply : reply.code(NO_CONTENT).send()
      }
    )
  })
}
