import { createHash, timingSafeEqual } from 'node:crypto'
import { join } from 'node:path'
import basicAuth from '@fastify/basic-auth'
import helmet from '@fastify/helmet'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import type { CallStore } from 'fastify-jambonz-listen'
import type { Environment } from '../environment.js'
import live from './live.js'
import recordings from './recordings.js'
import simulate from './simulate.js'

export interface DeskOptions {
  environment: Environment
  store: CallStore
}

/** The page at / and what it needs, behind a password, or for this machine alone. */
export default async function desk (app: FastifyInstance, options: DeskOptions): Promise<void> {
  const own = ["'self'"]
  await app.register(helmet, {
    hsts: false, // for whoever terminates TLS to decide
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], scriptSrc: own, styleSrc: own, imgSrc: own, connectSrc: own, mediaSrc: own, baseUri: ["'none'"], formAction: own, frameAncestors: ["'none'"] }
    }
  })
  await guard(app, options.environment)
  await app.register(fastifyStatic, { root: join(import.meta.dirname, 'public'), wildcard: false })
  await app.register(live, options)
  await app.register(recordings, options)
  await app.register(simulate, options)
}

async function guard (app: FastifyInstance, { DESK_USERNAME, DESK_PASSWORD }: Environment): Promise<void> {
  if (DESK_USERNAME === undefined || DESK_PASSWORD === undefined) {
    app.addHook('onRequest', async ({ hostname, headers }, reply) => {
      // A tunnel or a proxy brings strangers to this machine's own address, and so does a name that resolves to it.
      if (['127.0.0.1', 'localhost', '[::1]'].includes(hostname) && headers['x-forwarded-for'] === undefined && headers.forwarded === undefined) return
      return reply.code(403).send({ message: 'The desk has no password, so it is for this machine alone: open it at 127.0.0.1, or set DESK_USERNAME and DESK_PASSWORD.' })
    })
    return
  }
  await app.register(basicAuth, {
    authenticate: { realm: 'desk' },
    async validate (username, password) {
      if (!timingSafeEqual(digest(username, password), digest(DESK_USERNAME, DESK_PASSWORD))) throw new Error('wrong user or password')
    }
  })
  // Safari sends no credentials with a websocket: the page shows a ticket there (live.ts).
  app.addHook('onRequest', (request, reply, done) => request.ws ? done() : app.basicAuth(request, reply, done))
}

function digest (...parts: string[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest()
}
