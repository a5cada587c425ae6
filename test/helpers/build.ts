import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import jambonzListen, { type JambonzListenOptions } from '../../lib/index.js'

/** ms in which a plugin must start, on a busy machine */
export const PLUGIN_TIMEOUT = 120_000

export interface BuildOptions extends JambonzListenOptions {
  fastify?: FastifyServerOptions
}

/** Returns a Fastify with the plugin. It is closed at the end of the test. */
export async function build(
  t: Test,
  { fastify: fastifyOptions, ...options }: BuildOptions = {}
): Promise<FastifyInstance> {
  const app = Fastify({ pluginTimeout: PLUGIN_TIMEOUT, ...fastifyOptions })
  t.teardown(() => app.close())
  await app.register(jambonzListen, options)
  return app
}

/** Makes the application listen on a free port. Resolves to its address, without a slash at the end. */
export async function listening(app: FastifyInstance): Promise<string> {
  return await app.listen({ host: '127.0.0.1', port: 0 })
}

/** Starts an application with `routes`. Resolves to the application and its address. */
export async function serving(
  t: Test,
  routes: (app: FastifyInstance) => void,
  options: BuildOptions = {}
): Promise<{ app: FastifyInstance; url: string }> {
  const app = await build(t, options)
  routes(app)
  return { app, url: await listening(app) }
}

/** Creates an empty folder and returns its path. */
export function folder(): string {
  return mkdtempSync(join(tmpdir(), 'jambonz-listen-'))
}
