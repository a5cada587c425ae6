import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import { bindLog } from '../lib/application/bindLog.js'
import { callSidOf } from '../lib/model/listenId.js'
import { ERR_UNKNOWN_LISTEN } from '../lib/model/errors.js'
import type { Runtime } from '../lib/Runtime.js'
import { callFields } from '../lib/model/callFields.js'
import { payloadReader } from '../lib/application/posted.js'
import { AnswerSchema, ListenHookSchema, type ListenHook } from '../lib/model/payloads.js'
import type { ActionHookHandler, HookRouteOptions } from '../lib/application/types.js'
import { jambonzScope, verbRoute } from '../lib/application/verbRoute.js'

/** Our part of a hook's query. jambonz sends the fragment of a relative hook, as in `/done#rc=3`, along with it. */
const LISTEN = /[?&]listen=([^&#]*)/

/**
 * POST and GET: the actionHook of a listen. The handler runs when the listen's audio is complete. A GET hook has no
 * payload (feature-server lib/utils/http-requestor.js) and its signature covers one: its `?listen=`, which can't be
 * guessed, is what it is known by.
 */
export function registerActionHook<Schema extends FastifySchema>(
  instance: FastifyInstance,
  runtime: Runtime,
  path: string,
  options: HookRouteOptions<Schema>,
  handler: ActionHookHandler<Schema>
): void {
  const routeOptions = options as HookRouteOptions & Partial<RouteOptions>
  const payloadOf = payloadReader(ListenHookSchema, options.schema)
  runtime.hookPaths.add(instance.prefix + path)
  jambonzScope(instance, runtime, 'actionHook', (scope) => {
    const { body = ListenHookSchema, ...schema } = (options.schema ?? {}) as FastifySchema
    const route = {
      ...routeOptions,
      url: path,
      preHandler: [
        (request: FastifyRequest, reply: FastifyReply) =>
          finish(runtime, request, reply, request.body ? payloadOf(request) : undefined),
        ...[routeOptions.preHandler ?? []].flat()
      ],
      ...verbRoute(instance, runtime, handler, routeOptions)
    }
    const response = { 200: AnswerSchema }
    scope.route({ ...route, method: 'POST', schema: { body, response, ...schema } })
    scope.route({ ...route, method: 'GET', exposeHeadRoute: false, schema: { response, ...schema } })
  })
}

async function finish(
  runtime: Runtime,
  request: FastifyRequest,
  reply: FastifyReply,
  payload: ListenHook | undefined
): Promise<void> {
  const { correlator, hooks, handover, metrics } = runtime
  const arrivedAt = performance.now()
  runtime.openHooks.add(reply.raw)
  const about = payload && { callSid: payload.call_sid, fields: callFields(payload) }
  const [, named] = LISTEN.exec(request.url) ?? []
  if (named !== undefined) {
    bindLog(request, reply, { callSid: callSidOf(named) ?? about?.callSid, listenId: named })
  }
  // What it says of the call is written with what it says of the call's listen, where it names that.
  const namesListenOfCall = named !== undefined && callSidOf(named) === about?.callSid
  const call = about && !namesListenOfCall ? await correlator.arrive(about.callSid, about.fields) : undefined
  const listenId =
    named ??
    (call && payload && speaksOfListen(payload)
      ? correlator.latestListen(call, payload.verb_id)?.id
      : undefined)
  if (named === undefined) bindLog(request, reply, { callSid: call?.callSid, listenId })
  const report = { digits: payload?.digits, duration: payload?.dial_call_duration, call: about }
  const settled = listenId === undefined ? undefined : await hooks.settled(listenId, report)
  if (settled === undefined) {
    request.call = call ?? (about && (await correlator.arrive(about.callSid, about.fields)))
    if (request.call === undefined) throw new ERR_UNKNOWN_LISTEN(listenId ?? '')
    return
  }
  const goesOn = await handover.goOn(settled, report)
  const answered = goesOn ?? (await hooks.finish(settled, report))
  request.call = answered.call
  request.listen = answered.listen
  if (goesOn === undefined) {
    metrics.hookWaited(performance.now() - arrivedAt, answered.listen)
    return
  }
  request.log.info(
    { offers: goesOn.listen.offers },
    'the listen goes on: jambonz is asked for its next socket'
  )
  return reply.send(goesOn.verbs)
}

/** Hooks of other verbs say why they were called, or what became of the call they dialled; a listen's never does. */
function speaksOfListen(payload: ListenHook): boolean {
  return !('reason' in payload) && !('dial_call_status' in payload)
}
