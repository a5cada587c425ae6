import type { FastifyReply, FastifyRequest } from 'fastify'

/** From here on every log line of the request, Fastify's own included, says which call and listen it is about. */
export function bindLog(
  request: FastifyRequest,
  reply: FastifyReply,
  ids: { callSid?: string; listenId?: string }
): void {
  request.log = reply.log = request.log.child(ids)
}
