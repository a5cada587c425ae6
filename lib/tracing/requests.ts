import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Listen } from '../model/schema.js'
import type { RequestKind } from '../metrics/index.js'
import type { Trace, Tracing } from './Tracing.js'

/** A span for a request, from now until it is answered. */
export function beginRequest(
  tracing: Tracing,
  { headers, method, routeOptions: { url } }: FastifyRequest,
  kind: RequestKind
): Trace | undefined {
  return tracing.request(`${kind} ${url}`, {
    b3: headers.b3,
    attributes: { 'http.request.method': method, 'http.route': url }
  })
}

export function endRequest(
  trace: Trace,
  { call, listen }: FastifyRequest,
  { sent, statusCode }: FastifyReply
): void {
  trace.set({
    'http.response.status_code': sent ? statusCode : undefined,
    'jambonz.call_sid': call?.callSid,
    'jambonz.call_status': call?.callStatus,
    'jambonz.listen_id': listen?.id,
    'jambonz.end_reason': listen?.endReason
  })
  if (!sent) trace.fail('jambonz hung up before it was answered')
  trace.end()
}

/** The listens that an answer asks for, marked so that their spans, on whichever instance, come after that of its request. */
export function asTraced<Asked extends Pick<Listen, 'trace'>>(
  trace: Trace | null,
  listens: readonly Asked[]
): readonly Asked[] {
  return trace === null ? listens : listens.map((listen) => ({ ...listen, trace: trace.b3 }))
}
