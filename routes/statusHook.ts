import type { FastifyInstance, FastifyRequest } from 'fastify'
import { bindLog } from '../lib/application/bindLog.js'
import type { Runtime } from '../lib/Runtime.js'
import { callFields } from '../lib/model/callFields.js'
import { CallStatusSchema, type CallStatus } from '../lib/model/payloads.js'
import type { StatusHandler, StatusRequest } from '../lib/application/types.js'
import { jambonzScope } from '../lib/application/verbRoute.js'

const NO_CONTENT = 204

/** POST: call status events, of the caller's leg and of those dialled out. jambonz ignores the answer. */
export function registerStatusHook(
  instance: FastifyInstance,
  runtime: Runtime,
  path: string,
  handler: StatusHandler | undefined
): void {
  jambonzScope(instance, runtime, 'statusHook', (scope) => {
    scope.post(path, { schema: { body: CallStatusSchema } }, async (request: FastifyRequest, reply) => {
      const payload = request.body as CallStatus
      bindLog(request, reply, { callSid: payload.call_sid })
      request.call = await runtime.correlation.arrived(payload.call_sid, callFields(payload))
      await handler?.call(instance, request as unknown as StatusRequest, reply)
      return reply.sent ? reply : reply.code(NO_CONTENT).send()
    })
  })
}
