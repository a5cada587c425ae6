import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Trace } from '../model/tracing.js'
import { messageOf } from './messages.js'

/** The transport of jambonz' request: `request.jambonz`. */
export interface JambonzRequest {
  readonly transport: 'http' | 'websocket'
  /** of the message, over the application websocket */
  readonly msgid?: string
}

// Notes of the plugin on a request, which neither the application nor a log sees.

/** the bytes of the body, as they came */
export const kRawBody = Symbol('jambonz raw body')
/** the stage of the answer */
export const kStage = Symbol('jambonz stage')
/** the span of the request, where it is traced */
export const kTrace = Symbol('jambonz trace')

/**
 * The stage of an answer.
 * `handling`: an error from now on is the handler's or its verbs' fault, no longer the request's;
 * `answering`: the handler has sent its answer, which is being prepared: Fastify does not call it sent yet;
 * `fallback`: the handler failed, and the fallback verbs are answered.
 */
export type Stage = 'handling' | 'answering' | 'fallback'

declare module 'fastify' {
  interface FastifyRequest {
    /** How jambonz asked; undefined on routes that are not of fastify-jambonz-listen. */
    jambonz?: JambonzRequest
    [kRawBody]: Buffer | null
    [kStage]: Stage | null
    [kTrace]: Trace | null
  }
}

const OVER_HTTP: JambonzRequest = Object.freeze({ transport: 'http' })

export function decorateRequests(fastify: FastifyInstance): void {
  fastify.decorateRequest('call')
  fastify.decorateRequest('listen')
  fastify.decorateRequest('jambonz')
  fastify.decorateRequest(kRawBody, null)
  fastify.decorateRequest(kStage, null)
  fastify.decorateRequest(kTrace, null)
}

/** Sets `request.jambonz` on every request of a scope, before anything else runs. */
export function noteTransport(scope: FastifyInstance): void {
  scope.addHook('onRequest', (request, _reply, done) => {
    const message = messageOf(request)
    request.jambonz = message ? { transport: 'websocket', msgid: message.msgid } : OVER_HTTP
    done()
  })
}

/** From here on every log line of the request, Fastify's own included, says which call and listen it is about. */
export function bindLog(
  request: FastifyRequest,
  reply: FastifyReply,
  ids: { callSid?: string; listenId?: string }
): void {
  request.log = reply.log = request.log.child(ids)
}

type Serialize = (request: FastifyRequest) => unknown
type Serializers = Record<string, unknown> | undefined

/** pino keeps a logger's serializers under this name (pino.symbols.serializersSym). */
const PINO_SERIALIZERS = Symbol.for('pino.serializers')
const KEY = /([?&]key=)[^&#]*/g

/**
 * Returns a serializer of requests for the log, as the host's or the route's own, in which the key of a GET hook does not
 * show: whoever reads the log could call the hook with it.
 */
export function hideHookKey(instance: FastifyInstance, own: Serializers): Serialize {
  const inherited = (instance.log as unknown as Record<symbol, Serializers>)[PINO_SERIALIZERS]
  const serialize = (own?.req ?? inherited?.req ?? basics) as Serialize
  return (request) => withoutKey(serialize(request))
}

function withoutKey(logged: unknown): unknown {
  if (typeof logged === 'string') return logged.replace(KEY, '$1…')
  if (typeof logged !== 'object' || logged === null || !('url' in logged)) return logged
  const { url } = logged
  return typeof url === 'string' ? { ...logged, url: url.replace(KEY, '$1…') } : logged
}

function basics({ method, url }: FastifyRequest): object {
  return { method, url }
}
