import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { Application } from '../lib/application/Application.js'
import { guardWithBasicAuth } from '../lib/application/basicAuth.js'
import { noteTransport } from '../lib/application/request.js'
import { SOCKET_CONSTRAINT } from '../lib/application/websocket/constraint.js'
import { acceptUpgrade, isUpgrade } from '../lib/listening/upgrades.js'
import { ERR_WEBHOOK_AUTH, ERR_WEBSOCKET_AUTH, ERR_WEBSOCKET_DRAINING } from '../lib/model/errors.js'

const NOT_FOUND = 404

/**
 * GET, upgraded, with the subprotocol ws.jambonz.org: jambonz' application websocket, on the path of a webhook. Other
 * requests to the path, the application's own GET included, never come here. Every message of the socket is answered by
 * the routes of this plugin, with their hooks; the scope's onRequest hooks run for the upgrade, too.
 */
export function registerApplicationSocket(
  instance: FastifyInstance,
  application: Application,
  path: string
): void {
  const { options, sockets, metrics } = application
  instance.register(async (scope) => {
    noteTransport(scope)
    scope.addHook('onError', (_request, _reply, error, done) => {
      metrics.erred(error)
      done()
    })
    await guardWithBasicAuth(
      scope,
      options.webhookAuth ? [options.webhookAuth] : [],
      () => new ERR_WEBHOOK_AUTH()
    )
    scope.addHook('onRequest', async () => {
      // Whoever may not call the webhook unsigned must not get around that here.
      if (options.webhookSecrets.length > 0 && options.webhookAuth === undefined) {
        throw new ERR_WEBSOCKET_AUTH()
      }
      if (sockets.sealed) throw new ERR_WEBSOCKET_DRAINING()
    })
    // The last of the onRequest hooks: those that look at a body are for the messages.
    scope.addHook('onRequest', async (request, reply) => {
      if (isUpgrade(request)) {
        acceptUpgrade(sockets.server, request, reply, (socket) => sockets.add(socket, request))
      }
    })
    const route = {
      method: 'GET',
      url: path,
      exposeHeadRoute: false,
      constraints: SOCKET_CONSTRAINT,
      schema: { hide: true },
      handler: async (_request: FastifyRequest, reply: FastifyReply) => reply.code(NOT_FOUND).send()
    } as RouteOptions
    // An actionHook may be registered on a webhook's path: the socket is the same.
    if (!scope.hasRoute({ method: 'GET', url: scope.prefix + path, constraints: SOCKET_CONSTRAINT })) {
      scope.route(route)
    }
  })
}
