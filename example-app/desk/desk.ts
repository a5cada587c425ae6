import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import helmet from '@fastify/helmet'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import liveMonitor from 'fastify-jambonz-listen/monitor'
import type { Environment } from '../environment.js'
import { guard } from './guard.js'
import { noteKeys } from './keys.js'
import simulate from './simulate.js'

const own = ["'self'"]
const none = ["'none'"]

/** Serves the page at /, with everything that it needs. `guard()` protects all of these routes. */
export default async function desk(app: FastifyInstance, environment: Environment): Promise<void> {
  await app.register(helmet, {
    hsts: false, // left to the proxy that terminates TLS
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: none,
        scriptSrc: own,
        styleSrc: own,
        imgSrc: own,
        connectSrc: own,
        mediaSrc: own,
        baseUri: none,
        formAction: own,
        frameAncestors: none
      }
    }
  })
  await guard(app, environment)
  noteKeys(app)
  await app.register(liveMonitor)
  await app.register(simulate, environment)
  await app.register(fastifyStatic, { root: join(import.meta.dirname, 'public'), wildcard: false })
  const recordings = resolve(environment.RECORDINGS_DIR)
  await mkdir(recordings, { recursive: true })
  await app.register(fastifyStatic, {
    root: recordings,
    prefix: '/recordings/',
    // `list` answers a request for a folder with the names of its files. `allowedPath` allows only complete
    // recordings, because the names of unfinished files have a second dot.
    list: true,
    index: false,
    dotfiles: 'ignore',
    allowedPath: (path) => /^[^.]*(?:(?:\.\d+)?\.wav|\.json)?$/.test(path),
    decorateReply: false
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4').send(app.jambonz.metrics())
  )
  app.get('/settings', async () => ({ publicUrl: environment.PUBLIC_URL }))
}
