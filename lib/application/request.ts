import type { FastifyInstance } from 'fastify'
import type { Trace } from '../model/tracing.js'
import { messageOf } from './messages.js'

/** How jambonz asked: `request.jambonz`. */
export interface JambonzRequest {
  readonly transport: 'http' | 'websocket'
  /** of the message, over the application websocket */
  readonly msgid?: string
}

// What the plugin notes on a request, where neither the application nor a log sees it.

/** the bytes of the body, as they came */
export const kRawBody = Symbol('jambonz raw body')
/** how far the answer has got */
export const kStage = Symbol('jambonz stage')
/** the span of the request, where it is traced */
export const kTrace = Symbol('jambonz trace')

/**
 * `handling`: what goes wrong from here on is the handler's or its verbs' fault, no longer the request's;
 * `answering`: what was sent is made ready, which Fastify does not call sent yet;
 * `fallback`: it has gone wrong, and the fallback verbs are answered.
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
