import { createHash, timingSafeEqual } from 'node:crypto'
import basicAuth from '@fastify/basic-auth'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Credentials } from '../verbs/index.js'
import { messageOf } from './messages.js'

/**
 * Guards the scope with HTTP Basic. A request without one of the `accepted` credentials fails with `refusal` (401),
 * unless `isGuest` lets it in.
 */
export async function guardWithBasicAuth(
  scope: FastifyInstance,
  accepted: readonly Credentials[],
  refusal: () => Error,
  isGuest = (_request: FastifyRequest, _reply: FastifyReply, _given: Credentials) => false
): Promise<void> {
  if (accepted.length === 0) return
  const digests = accepted.map(({ username, password }) => digest(username, password))
  await scope.register(basicAuth, {
    authenticate: { realm: 'jambonz' },
    async validate(username, password, request, reply) {
      const given = digest(username, password)
      // Every pair is compared, so that the time taken reveals nothing.
      const fitting = digests.filter((expected) => timingSafeEqual(given, expected))
      if (fitting.length === 0 && !isGuest(request, reply, { username, password })) throw refusal()
    }
  })
  scope.addHook('onRequest', function (request, reply, done) {
    // A message of a websocket, which was let in by its credentials.
    if (messageOf(request)) done()
    else scope.basicAuth.call(this, request, reply, done)
  })
}

function digest(username: string, password: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([username, password]))
    .digest()
}
