import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import { restartWithAnswer } from '../lib/application/answer.js'
import { bindLog, payloadReader } from '../lib/application/request.js'
import { callSidOf, type Hmac, isHookKey } from '../lib/model/tokens.js'
import { ERR_HOOK_KEY, ERR_HOOK_LISTEN, ERR_OPTIONS, ERR_UNKNOWN_LISTEN } from '../lib/model/errors.js'
import { hookCame } from '../lib/correlation/hookCame.js'
import type { Runtime } from '../lib/Jambonz.js'
import { checkRouteOptions } from './webhook.js'
import { callFields, ListenHookSchema, type ListenHook } from '../lib/model/payloads.js'
import {
  routeSchema,
  jambonzScope,
  verbRoute,
  type ActionHookHandler,
  type HookRouteOptions
} from '../lib/application/verbRoute.js'
import { hideHookKey, routeConfig } from '../lib/application/hookUrls.js'

// Our parameters in a hook's query. jambonz also sends the fragment of a relative hook, as in `/done#rc=3`.
const LISTEN = /[?&]listen=([^&#]*)/g
const KEY = /[?&]key=([^&#]*)/g

/**
 * Registers POST and GET for the actionHook of a listen. The handler runs when the listen's audio is
 * complete. A GET hook has no payload that its signature could cover (feature-server
 * lib/utils/http-requestor.js), so a key in its url authenticates the hook. Only listens with `method: 'GET'`
 * have such a key.
 */
export function registerActionHook<Schema extends FastifySchema>(
  instance: FastifyInstance,
  runtime: Runtime,
  path: string,
  options: HookRouteOptions<Schema>,
  handler: ActionHookHandler<Schema>
): void {
  if ('env' in options) {
    throw new ERR_OPTIONS(`options of actionHook('${path}').env: only webhook() has this option`)
  }
  checkRouteOptions(options, `options of actionHook('${path}')`)
  const routeOptions = options as HookRouteOptions & Partial<RouteOptions>
  const payloadOf = payloadReader(ListenHookSchema, options.schema)
  jambonzScope(instance, runtime, 'actionHook', (scope) => {
    const route = {
      ...routeOptions,
      url: path,
      config: routeConfig('actionHook', routeOptions),
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

/** Handles a hook up to its handler: reads the hook, finds its listen, and waits for the audio. */
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
  const { call, listen, goesOn, restart } = await hookCame(correlation, {
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
  if (restart !== undefined) {
    request.log.info('background listens go on: jambonz is asked for their next sockets')
    restartWithAnswer(request, restart)
  }
  if (goesOn === undefined) {
    if (listen) metrics.hookWaited(performance.now() - arrivedAt, listen)
    return
  }
  request.log.info({ offers: goesOn.offers }, 'the listen goes on: jambonz is asked for its next socket')
  return reply.send(goesOn.verbs)
}

/**
 * Returns our `listen` in the query. The application may have a `listen` of its own, but ours comes later,
 * and is a valid listen id.
 */
function listenIdOf(url: string): string | undefined {
  const values = valuesOf(url, LISTEN)
  return values.findLast((value) => callSidOf(value) !== undefined) ?? values.at(-1)
}

function valuesOf(url: string, name: RegExp): string[] {
  return Array.from(url.matchAll(name), ([, value = '']) => value)
}

/** Throws unless one of the keys is the key of the listen. Only verbs with `method: 'GET'` have a key. */
function checkKey(secret: Hmac, listenId: string | undefined, keys: readonly string[]): void {
  if (listenId === undefined) throw new ERR_HOOK_LISTEN()
  if (!keys.some((key) => isHookKey(secret, listenId, key))) throw new ERR_HOOK_KEY()
}

/** Returns true for the hook of a listen. Hooks of other verbs have a `reason` or a `dial_call_status`. */
function speaksOfListen(payload: ListenHook): boolean {
  return !('reason' in payload) && !('dial_call_status' in payload)
}
