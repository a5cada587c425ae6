import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import jambonzListen, { type JambonzListenOptions } from '../../lib/index.js'

export interface BuildOptions extends JambonzListenOptions {
  fastify?: FastifyServerOptions
}

/** Returns a Fastify with the plugin, closed with the test. */
export async function build(
  t: Test,
  { fastify: fastifyOptions, ...options }: BuildOptions = {}
): Promise<FastifyInstance> {
  const app = Fastify(fastifyOptions ?? {})
  t.teardown(() => app.close())
  await app.register(jambonzListen, options)
  return app
}

/** Listens on a free port. Resolves to the address, without a slash at its end. */
export async function listening(app: FastifyInstance): Promise<string> {
  return await app.listen({ host: '127.0.0.1', port: 0 })
}

/** Starts an application with `routes`. Resolves to it and its address. */
export async function serving(
  t: Test,
  routes: (app: FastifyInstance) => void,
  options: BuildOptions = {}
): Promise<{ app: FastifyInstance; url: string }> {
  const app = await build(t, options)
  routes(app)
  return { app, url: await listening(app) }
}

/** Returns an empty folder for this test alone. */
export function folder(): string {
  return mkdtempSync(join(tmpdir(), 'jambonz-listen-'))
}
