import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import type { Application } from '../lib/application/Application.js'
import { guardWithBasicAuth } from '../lib/application/authentication.js'
import { observeSockets } from '../lib/application/observeRequests.js'
import { noteTransport } from '../lib/application/request.js'
import { ADULTING, isApplicationUpgrade } from '../lib/application/websocket/wire.js'
import { acceptUpgrade, isUpgrade } from '../lib/listening/upgrades.js'
import { ERR_WEBHOOK_AUTH, ERR_WEBSOCKET_AUTH, ERR_WEBSOCKET_DRAINING } from '../lib/model/errors.js'

const NOT_FOUND = 404
/** the name of the constraint */
const CONSTRAINT = 'jambonzSocket'
const APPLICATION = 'application'

/**
 * The constraint of a route for upgrades to an application websocket. It is needed because the application
 * may have a GET route of its own on the same path.
 */
const SOCKET_CONSTRAINT = Object.freeze({ [CONSTRAINT]: APPLICATION })

/** Adds the constraint by which the router tells an application websocket from other requests to the same path. */
export function addSocketConstraint(fastify: FastifyInstance): void {
  if (fastify.hasConstraintStrategy(CONSTRAINT)) return
  fastify.addConstraintStrategy({
    name: CONSTRAINT,
    mustMatchWhenDerived: false,
    storage: () => {
      const stores = new Map<unknown, unknown>()
      return {
        get: (key: unknown) => (stores.get(key) ?? null) as never,
        set: (key: unknown, store: unknown) => {
          stores.set(key, store)
        }
      }
    },
    validate: () => true,
    deriveConstraint: (request: unknown) =>
      isApplicationUpgrade(request as IncomingMessage) ? APPLICATION : undefined
  } as never)
}

/**
 * Registers jambonz' application websocket (subprotocol ws.jambonz.org) on the path of a webhook. Other requests to the
 * path, such as a GET of the application, never get here. The routes of this plugin answer the messages of the socket,
 * with their hooks. The scope's onRequest hooks run for the upgrade, too. `constraints`: those of the webhook, which the
 * upgrade has to meet, too.
 */
export function registerApplicationSocket(
  instance: FastifyInstance,
  application: Application,
  path: string,
  constraints: RouteOptions['constraints']
): void {
  const { options, sockets, metrics } = application
  instance.register(async function jambonzApplicationSocket(scope) {
    noteTransport(scope)
    observeSockets(scope, metrics, 'application')
    await guardWithBasicAuth(
      scope,
      options.webhookAuth ? [options.webhookAuth] : [],
      () => new ERR_WEBHOOK_AUTH()
    )
    // This is the last onRequest hook. Hooks that need a body run for the messages.
    scope.addHook('onRequest', (request, reply, done) => {
      // Without webhookAuth, only the signature protects the webhook. An upgrade has no signature, so it is
      // refused.
      if (options.webhookSecrets.length > 0 && options.webhookAuth === undefined) {
        return done(new ERR_WEBSOCKET_AUTH())
      }
      if (sockets.sealed) return done(new ERR_WEBSOCKET_DRAINING())
      if (!isUpgrade(request)) return done()
      acceptUpgrade(sockets.server, request, reply, (socket) => {
        metrics.requested('application', 'answered')
        sockets.add(socket, request)
      })
    })
    const all = { ...constraints, ...SOCKET_CONSTRAINT }
    const route = (url: string): RouteOptions => ({
      method: 'GET',
      url,
      exposeHeadRoute: false,
      constraints: all,
      schema: { hide: true } as FastifySchema,
      handler: async (_request: FastifyRequest, reply: FastifyReply) => reply.code(NOT_FOUND).send()
    })
    // For a dialled leg that goes on alone, jambonz adds ADULTING to the url. A wildcard matches this url as
    // well.
    const adulting = path.includes('*') ? [] : [path.replace(/\/$/, '') + ADULTING]
    for (const url of [path, ...adulting]) {
      // An actionHook on the same path may have registered the socket already.
      if (!scope.hasRoute({ method: 'GET', url: scope.prefix + url, constraints: all })) {
        scope.route(route(url))
      }
    }
  })
}
