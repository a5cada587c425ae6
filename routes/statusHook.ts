import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Application } from '../lib/application/Application.js'
import { bindLog, kStage, payloadReader } from '../lib/application/request.js'
import { NO_CONTENT, routeConfig, TAKEN } from '../lib/application/hookUrls.js'
import {
  dropBody,
  routeSchema,
  asError,
  jambonzScope,
  type StatusHandler,
  type StatusRequest
} from '../lib/application/verbRoute.js'
import { joinPath } from '../lib/listening/ownUrls.js'
import { callFields, CallStatusSchema } from '../lib/model/payloads.js'

/** The statuses that jambonz takes for success. */
const SUCCESS: ReadonlySet<number> = new Set([...TAKEN, NO_CONTENT])

/**
 * Registers POST for call status events, of the caller's leg and of dialled legs. jambonz ignores the answer, except
 * that the error of a dialled leg's event crashes it: see `answerWithSuccess()`.
 */
export function registerStatusHook(
  instance: FastifyInstance,
  application: Application,
  path: string,
  handler: StatusHandler | undefined
): void {
  const payloadOf = payloadReader(CallStatusSchema)
  application.sockets.addStatusHook(instance, joinPath(instance.prefix, path))
  jambonzScope(instance, application, 'statusHook', (scope) => {
    answerWithSuccess(scope)
    const { schema, ...immune } = routeSchema('POST', CallStatusSchema, {})
    scope.post(
      path,
      { ...immune, schema: { body: schema?.body }, config: routeConfig('statusHook') },
      async (request: FastifyRequest, reply) => {
        const payload = payloadOf(request)
        bindLog(request, reply, { callSid: payload.call_sid })
        if (payload.parent_call_sid !== undefined) request[kStage] = 'answering'
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

/**
 * Answers 204 to an event of a dialled leg if its handler has failed, or has set another status. jambonz does not catch
 * the error of such a refused event (feature-server lib/utils/place-outdial.js, 0.8.5 to 0.9.8). Before 0.9.5 its
 * process then ends, and with it all its calls.
 */
function answerWithSuccess(scope: FastifyInstance): void {
  scope.addHook('onSend', (request, reply, payload, done) => {
    const { statusCode } = reply
    const isOverHttp = request.jambonz?.transport === 'http'
    if (request[kStage] !== 'answering' || SUCCESS.has(statusCode) || !isOverHttp) return done()
    request[kStage] = 'failed'
    request.log.warn(
      { statusCode },
      'the status hook of a dialled leg failed: 204 is answered, since an error would crash jambonz'
    )
    dropBody(reply, payload)
    reply.code(NO_CONTENT)
    done(null, null)
  })
}
