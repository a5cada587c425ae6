import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import autoload from '@fastify/autoload'
import compress from '@fastify/compress'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import formbody from '@fastify/formbody'
import helmet from '@fastify/helmet'
import multipart from '@fastify/multipart'
import rateLimit from '@fastify/rate-limit'
import sensible from '@fastify/sensible'
import underPressure from '@fastify/under-pressure'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import rawBody from 'fastify-raw-body'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { z } from 'zod'
import jambonzListen, { type JambonzListenOptions } from '../../lib/index.js'
import { folder } from '../helpers/build.js'

/** A typical Fastify application in which the plugin is registered. */
export interface Host {
  name: string
  /** what the application contains, in the words of docs/compatibility.md */
  tried: string
  /**
   * Returns the application and the path of its call webhook. `addRoutes` adds a webhook, an audio route and
   * an actionHook.
   */
  build(plugin: JambonzListenOptions, addRoutes: (scope: FastifyInstance) => void): Promise<Built>
}

export interface Built {
  app: FastifyInstance
  hook: string
}

type Plugins = (app: FastifyInstance) => PromiseLike<unknown>

/** Registers the plugin at the root of an application, after other plugins. */
function beside(
  name: string,
  tried: string,
  before: Plugins,
  after: Plugins = async () => {},
  options: FastifyServerOptions = {}
): Host {
  return {
    name,
    tried,
    async build(plugin, addRoutes) {
      const app = Fastify(options)
      await before(app)
      await app.register(jambonzListen, plugin)
      await after(app)
      addRoutes(app)
      return { app, hook: '/call' }
    }
  }
}

/** Registers the plugin inside nested scopes. `prefixes`: their prefixes, the outermost first. */
function inScopes(name: string, tried: string, prefixes: string[], own?: string): Host {
  return {
    name,
    tried,
    async build(plugin, addRoutes) {
      const app = Fastify()
      const nest = async (scope: FastifyInstance, [first, ...rest]: string[]): Promise<void> => {
        if (first !== undefined) {
          await scope.register((inner: FastifyInstance) => nest(inner, rest), { prefix: first })
          return
        }
        await scope.register(jambonzListen, { ...plugin, ...(own !== undefined && { prefix: own }) })
        addRoutes(scope)
      }
      await nest(app, prefixes)
      return { app, hook: `${prefixes.join('')}/call` }
    }
  }
}

export const HOSTS: readonly Host[] = [
  beside('a bare application', 'the application registers only this plugin', async () => {}),
  beside(
    'fastify-type-provider-zod',
    'its compilers are set before the plugin is registered, and the application has a zod route',
    async (app) => {
      app.setValidatorCompiler(validatorCompiler)
      app.setSerializerCompiler(serializerCompiler)
      app.post('/zod', { schema: { body: z.object({ a: z.string() }) } }, () => ({}))
    }
  ),
  beside(
    'fastify-type-provider-zod, set later',
    'its compilers are set after the plugin is registered',
    async () => {},
    async (app) => {
      app.setValidatorCompiler(validatorCompiler)
      app.setSerializerCompiler(serializerCompiler)
    }
  ),
  {
    name: "the host's ajv",
    tried: "`removeAdditional: 'all'`, `coerceTypes: false`, `useDefaults: false`",
    async build(plugin, addRoutes) {
      const app = Fastify({
        ajv: { customOptions: { removeAdditional: 'all', coerceTypes: false, useDefaults: false } }
      })
      await app.register(jambonzListen, plugin)
      addRoutes(app)
      return { app, hook: '/call' }
    }
  },
  {
    name: "the host's router",
    tried: '`ignoreTrailingSlash`, `caseSensitive: false`, `maxParamLength: 10`, `exposeHeadRoutes: false`',
    async build(plugin, addRoutes) {
      const app = Fastify({
        exposeHeadRoutes: false,
        routerOptions: { ignoreTrailingSlash: true, caseSensitive: false, maxParamLength: 10 }
      })
      await app.register(jambonzListen, plugin)
      addRoutes(app)
      return { app, hook: '/call' }
    }
  },
  inScopes('a prefixed scope', "`register(scope, { prefix: '/v1' })`", ['/v1']),
  inScopes('nested scopes', 'the scope `/api` contains the scope `/v2`, which contains the scope `/voice`', [
    '/api',
    '/v2',
    '/voice'
  ]),
  inScopes(
    "a scope's prefix and the plugin's",
    "`register(jambonzListen, { prefix: '/media' })` in a scope with the prefix `/v1`",
    ['/v1'],
    '/media'
  ),
  inScopes('a scope with a parameter', "`{ prefix: '/tenants/acme' }`", ['/tenants/acme']),
  {
    name: '@fastify/autoload',
    tried: 'the plugin and its routes are in a folder, whose name becomes their prefix',
    async build(plugin, addRoutes) {
      const app = Fastify()
      const dir = folder()
      await mkdir(join(dir, 'voice'))
      await writeFile(
        join(dir, 'voice/index.mjs'),
        'export default async (scope, { setUp }) => { await setUp(scope) }\n'
      )
      await app.register(autoload, {
        dir,
        options: {
          setUp: async (scope: FastifyInstance) => {
            await scope.register(jambonzListen, plugin)
            addRoutes(scope)
          }
        }
      })
      return { app, hook: '/voice/call' }
    }
  },
  {
    name: 'two registrations',
    tried:
      'in two scopes of an application without @fastify/websocket; the call goes to the second registration',
    async build(plugin, addRoutes) {
      const app = Fastify()
      await app.register(
        async (one) => {
          await one.register(jambonzListen)
        },
        { prefix: '/one' }
      )
      await app.register(
        async (two) => {
          await two.register(jambonzListen, plugin)
          addRoutes(two)
        },
        { prefix: '/two' }
      )
      return { app, hook: '/two/call' }
    }
  },
  {
    name: 'a registration inside another',
    tried: 'at the root and in a scope; the call goes to the registration in the scope',
    async build(plugin, addRoutes) {
      const app = Fastify()
      await app.register(jambonzListen)
      app.jambonz.webhook('/call', async () => [{ verb: 'hangup' }])
      await app.register(
        async (two) => {
          await two.register(jambonzListen, plugin)
          addRoutes(two)
        },
        { prefix: '/two' }
      )
      return { app, hook: '/two/call' }
    }
  },
  beside('@fastify/websocket', 'the application registers it before this plugin', (app) =>
    app.register(websocket, { options: { maxPayload: 1_048_576 } }).after()
  ),
  beside('@fastify/cors', '`origin: true`, for all methods', async (app) => {
    await app.register(cors, { origin: true, methods: ['GET', 'POST', 'OPTIONS'] })
  }),
  beside('@fastify/helmet', 'with its defaults', async (app) => {
    await app.register(helmet)
  }),
  beside('@fastify/rate-limit', 'for all routes, 100 requests a minute', async (app) => {
    await app.register(rateLimit, { max: 100, timeWindow: '1 minute' })
  }),
  beside(
    '@fastify/under-pressure',
    '`maxEventLoopDelay: 10_000`, and its status route is on',
    async (app) => {
      await app.register(underPressure, { maxEventLoopDelay: 10_000, exposeStatusRoute: true })
    }
  ),
  beside('@fastify/compress', '`global: true`, `threshold: 0`', async (app) => {
    await app.register(compress, { global: true, threshold: 0 })
  }),
  beside('fastify-raw-body', '`global: true`', async (app) => {
    await app.register(rawBody, { global: true, runFirst: true })
  }),
  beside(
    '@fastify/formbody and @fastify/multipart',
    'they add parsers for other content types',
    async (app) => {
      await app.register(formbody)
      await app.register(multipart)
    }
  ),
  beside(
    'a parser for JSON of the application',
    '`addContentTypeParser` for application/json and `*`',
    async (app) => {
      app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
        done(null, { body })
      )
      app.addContentTypeParser('*', (_request, _payload, done) => done(null))
    }
  ),
  beside('@fastify/cookie and @fastify/sensible', 'with their defaults', async (app) => {
    await app.register(cookie)
    await app.register(sensible)
  }),
  beside(
    'hooks of the application',
    'async hooks onRequest, preValidation, preSerialization and onSend, which change the answers of other routes',
    async (app) => {
      app.addHook('onRequest', async () => {})
      app.addHook('preValidation', async () => {})
      app.addHook('preSerialization', async (request, _reply, payload) =>
        request.url.startsWith('/wrapped') ? { data: payload } : payload
      )
      app.addHook('onSend', async (_request, _reply, payload) => payload)
      app.get('/wrapped', () => [])
    }
  ),
  beside(
    'answers in an envelope',
    'a preSerialization hook that puts every answer into `{ data }`, and `setReplySerializer`',
    async (app) => {
      app.addHook('preSerialization', async (_request, _reply, payload) => ({ data: payload }))
      app.setReplySerializer((payload) => JSON.stringify({ ok: true, ...(payload as object) }))
    }
  ),
  beside(
    'limits of the application',
    '`bodyLimit: 64`, `requestTimeout`, `handlerTimeout`, `maxRequestsPerSocket: 1`',
    async () => {},
    async () => {},
    { bodyLimit: 64, requestTimeout: 900, handlerTimeout: 800, maxRequestsPerSocket: 1 }
  ),
  beside(
    'compilers that throw',
    '`setValidatorCompiler`, `setSerializerCompiler` and `setSchemaErrorFormatter` that fail for every schema',
    async (app) => {
      const fail = (): never => {
        throw new Error('this schema is none of ours')
      }
      app.setValidatorCompiler(fail)
      app.setSerializerCompiler(fail)
      app.setSchemaErrorFormatter(fail)
    }
  ),
  beside(
    'a schema on every route',
    'an onRoute hook that adds a schema to every route, with a required header and a schema of the answers',
    async (app) => {
      app.addHook('onRoute', (route) => {
        route.schema = {
          ...route.schema,
          headers: { type: 'object', required: ['x-tenant'] },
          response: { 200: { type: 'object', properties: { ok: { type: 'boolean' } } } }
        }
      })
    }
  )
]
