import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import { hideHookKey, bindLog, payloadReader } from '../lib/application/request.js'
import { callSidOf, type Hmac, isHookKey } from '../lib/model/tokens.js'
import { ERR_HOOK_KEY, ERR_UNKNOWN_LISTEN } from '../lib/model/errors.js'
import { hookCame } from '../lib/correlation/hookCame.js'
import type { Runtime } from '../lib/Jambonz.js'
import { callFields, ListenHookSchema, type ListenHook } from '../lib/model/payloads.js'
import {
  routeSchema,
  jambonzScope,
  verbRoute,
  type ActionHookHandler,
  type HookRouteOptions
} from '../lib/application/verbRoute.js'
import { kKind } from '../lib/application/hookUrls.js'

// Our part of a hook's query. jambonz sends the fragment of a relative hook, as in `/done#rc=3`, along with it.
const LISTEN = /[?&]listen=([^&#]*)/g
const KEY = /[?&]key=([^&#]*)/g

/**
 * POST and GET: the actionHook of a listen. The handler runs when the listen's audio is complete. A GET hook has no
 * payload (feature-server lib/utils/http-requestor.js) and its signature covers one: it is known by the key in its url,
 * which only listens with `method: 'GET'` get.
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
  jambonzScope(instance, runtime, 'actionHook', (scope) => {
    const route = {
      ...routeOptions,
      url: path,
      config: { ...routeOptions.config, [kKind]: 'actionHook' as const },
      preHandler: [
        (request: FastifyRequest, reply: FastifyReply) =>
          finish(runtime, request, reply, request.method === 'GET' ? undefined : payloadOf(request)),
        ...[routeOptions.preHandler ?? []].flat()
      ],
      ...verbRoute(instance, runtime, handler, routeOptions)
    }
    scope.route({ ...route, ...routeSchema('POST', ListenHookSchema, routeOptions), method: 'POST' })
    scope.route({
      ...route,
      ...routeSchema('GET', ListenHookSchema, routeOptions),
      method: 'GET',
      exposeHeadRoute: false,
      logSerializers: {
        ...routeOptions.logSerializers,
        req: hideHookKey(instance, routeOptions.logSerializers)
      }
    })
  })
}

/** The hook's way through the correlation, up to its handler. */
async function finish(
  { correlation, openHooks, metrics, options }: Runtime,
  request: FastifyRequest,
  reply: FastifyReply,
  payload: ListenHook | undefined
): Promise<unknown> {
  const arrivedAt = performance.now()
  openHooks.add(reply.raw)
  const listenId = listenIdOf(request.url)
  if (payload === undefined) checkKey(options.secret, listenId, valuesOf(request.url, KEY))
  bindLog(request, reply, { callSid: (listenId && callSidOf(listenId)) ?? payload?.call_sid, listenId })
  const { call, listen, goesOn } = await hookCame(correlation, {
    listenId,
    verbId: payload?.verb_id,
    digits: payload?.digits,
    duration: payload?.dial_call_duration,
    call: payload && {
      callSid: payload.call_sid,
      fields: { ...callFields(payload), transport: request.jambonz!.transport }
    },
    isOfListen: payload !== undefined && speaksOfListen(payload)
  })
  if (call === undefined) throw new ERR_UNKNOWN_LISTEN(listenId ?? '')
  request.call = call
  request.listen = listen
  if (listenId === undefined && listen) bindLog(request, reply, { listenId: listen.id })
  if (goesOn === undefined) {
    if (listen) metrics.hookWaited(performance.now() - arrivedAt, listen)
    return
  }
  request.log.info({ offers: goesOn.offers }, 'the listen goes on: jambonz is asked for its next socket')
  return reply.send(goesOn.verbs)
}

/** The application's own query may have a `listen`, too: ours comes after it, and names a call. */
function listenIdOf(url: string): string | undefined {
  const values = valuesOf(url, LISTEN)
  return values.findLast((value) => callSidOf(value) !== undefined) ?? values.at(-1)
}

function valuesOf(url: string, name: RegExp): string[] {
  return Array.from(url.matchAll(name), ([, value = '']) => value)
}

/** A hook without a payload is known by its key alone, which only a verb with `method: 'GET'` got. */
function checkKey(secret: Hmac, listenId: string | undefined, keys: readonly string[]): void {
  if (listenId === undefined) throw new ERR_UNKNOWN_LISTEN('')
  if (!keys.some((key) => isHookKey(secret, listenId, key))) throw new ERR_HOOK_KEY()
}

/** Hooks of other verbs say why they were called, or what became of the call they dialled; a listen's never does. */
function speaksOfListen(payload: ListenHook): boolean {
  return !('reason' in payload) && !('dial_call_status' in payload)
}
