import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { isApplicationUpgrade } from './wire.js'

const NAME = 'jambonzSocket'
const APPLICATION = 'application'

/**
 * The constraint of a route that takes only upgrades to an application websocket: the application may have a GET
 * route on the same path.
 */
export const SOCKET_CONSTRAINT = Object.freeze({ [NAME]: APPLICATION })

/** Lets the router tell an application websocket from every other request to the same path. */
export function addSocketConstraint(fastify: FastifyInstance): void {
  if (fastify.hasConstraintStrategy(NAME)) return
  fastify.addConstraintStrategy({
    name: NAME,
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
