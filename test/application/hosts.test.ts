import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import express from 'express'
import t from 'tap'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fastifyRawBody from 'fastify-raw-body'
import fastifyCompress from '@fastify/compress'
import { build, listening, type BuildOptions } from '../helpers/build.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { keepingLogger } from '../helpers/log.js'

// Fastify's hooks, schemas and replies must have the same effect over a websocket as over HTTP.

const SAY = [{ verb: 'say' as const, text: 'hello' }]
const PAYLOAD = { call_sid: 'call-1', account_sid: 'acc', direction: 'inbound' as const }

/** Resolves to the verbs with which the same webhook answers over HTTP and over a websocket. */
async function verbsOf(
  t: Parameters<typeof build>[0],
  routes: (app: FastifyInstance) => unknown,
  { data = {}, ...options }: BuildOptions & { data?: object } = {}
): Promise<{ http: unknown; websocket: unknown }> {
  const app = await build(t, options)
  await routes(app)
  const url = await listening(app)
  const response = await fetch(`${url}/call`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...PAYLOAD, ...data })
  }).catch(() => undefined)
  // jambonz takes verbs only from answers with status 200 or 202 (feature-server
  // lib/utils/http-requestor.js).
  const http = response && [200, 202].includes(response.status) ? await response.json() : []
  const socket = await JambonzSocket.open(t, `${url}/call`)
  return { http, websocket: await socket.ask('session:new', { ...PAYLOAD, ...data }) }
}

type Middleware = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

const APPLICATIONS: ReadonlyArray<{
  title: string
  routes: (app: FastifyInstance) => unknown
  data?: object
  verbs: unknown
}> = [
  {
    title: 'a body schema that removes call_sid and changes types',
    routes: (app) =>
      app.jambonz.webhook(
        '/call',
        {
          schema: {
            body: { type: 'object', additionalProperties: false, properties: { n: { type: 'integer' } } }
          }
        },
        async ({ body, call }) => [{ verb: 'tag', data: { body, from: call.callSid } }]
      ),
    data: { n: '7' },
    verbs: [{ verb: 'tag', data: { body: { n: 7 }, from: 'call-1' } }]
  },
  {
    title: 'a preParsing hook that reads the body and passes on another body',
    routes: (app) => {
      app.addHook('preParsing', async ({ method }, _reply, payload) => {
        if (method !== 'POST') return payload
        const body = Buffer.from(JSON.stringify({ ...JSON.parse(await text(payload)), added: 'by a hook' }))
        return Object.assign(Readable.from([body]).pipe(new PassThrough()), {
          receivedEncodedLength: body.length
        })
      })
      app.addHook('onRequest', async ({ raw }) => {
        delete raw.headers['content-length']
      })
      app.jambonz.webhook('/call', async ({ body }) => [
        { verb: 'tag', data: { added: (body as { added?: string }).added } }
      ])
    },
    verbs: [{ verb: 'tag', data: { added: 'by a hook' } }]
  },
  {
    title: 'the plugin fastify-raw-body',
    routes: async (app) => {
      await app.register(fastifyRawBody, { global: true, encoding: 'utf8' })
      app.jambonz.webhook('/call', async ({ rawBody }) => [
        { verb: 'tag', data: { callSid: JSON.parse(String(rawBody)).call_sid } }
      ])
    },
    verbs: [{ verb: 'tag', data: { callSid: 'call-1' } }]
  },
  {
    title:
      'middleware of Express, which gives requests and responses its own prototypes, as @fastify/express does',
    routes: (app) => {
      const middleware = express().use((request, _response, next) => {
        request.headers['x-seen'] = 'by Express'
        next()
      }) as unknown as Middleware
      app.addHook('onRequest', ({ raw }, reply, done) => {
        middleware(raw, reply.raw, done)
      })
      app.jambonz.webhook('/call', async ({ headers }) => [
        { verb: 'tag', data: { seen: headers['x-seen'] } }
      ])
    },
    verbs: [{ verb: 'tag', data: { seen: 'by Express' } }]
  },
  {
    title: 'a JSON text with white space around the text',
    routes: (app) =>
      app.jambonz.webhook('/call', (_request, reply) => {
        reply.type('application/json').send(`\n ${JSON.stringify(SAY)} \n`)
      }),
    verbs: SAY
  },
  {
    title: 'status 202, whose verbs jambonz takes',
    routes: (app) =>
      app.jambonz.webhook('/call', async (_request, reply) => {
        reply.code(202)
        return SAY
      }),
    verbs: SAY
  },
  {
    title: 'status 201, whose verbs jambonz does not take',
    routes: (app) =>
      app.jambonz.webhook('/call', async (_request, reply) => {
        reply.code(201)
        return SAY
      }),
    verbs: []
  },
  {
    title: 'a hijacked reply that the handler writes itself',
    routes: (app) =>
      app.jambonz.webhook('/call', (_request, reply) => {
        reply.hijack()
        reply.raw.setHeader('content-type', 'application/json')
        reply.raw.end(JSON.stringify(SAY))
      }),
    verbs: SAY
  },
  {
    title: 'a hijacked reply that is destroyed',
    routes: (app) =>
      app.jambonz.webhook('/call', (_request, reply) => {
        reply.hijack()
        reply.raw.destroy()
      }),
    verbs: []
  }
]

for (const { title, routes, verbs, data } of APPLICATIONS) {
  t.test(title, async (t) => {
    t.strictSame(await verbsOf(t, routes, data && { data }), { http: verbs, websocket: verbs })
  })
}

t.test(
  'an answer whose status makes jambonz ignore it is logged, once for each route and status',
  async (t) => {
    const answers: Record<string, (reply: FastifyReply) => unknown> = {
      '/created': (reply) => reply.code(201).send(SAY),
      '/moved': (reply) => reply.redirect('/call'),
      '/none': (reply) => reply.code(204).send(),
      '/accepted': (reply) => reply.code(202).send(SAY)
    }
    for (const transport of ['http', 'websocket']) {
      const { logger, lines } = keepingLogger()
      const app = await build(t, { fastify: { loggerInstance: logger } })
      app.jambonz.webhook('/call', async () => SAY)
      for (const [path, answer] of Object.entries(answers)) {
        app.jambonz.webhook(path, (_request, reply) => {
          answer(reply)
        })
      }
      app.jambonz.webhook('/lost', async (_request, reply) => {
        reply.code(204)
        return SAY
      })
      app.jambonz.webhook(
        '/limited',
        { onRequest: async (_request, reply) => reply.code(429).send('no') },
        () => SAY
      )
      const url = await listening(app)
      const socket = transport === 'websocket' ? await JambonzSocket.open(t, `${url}/call`) : undefined
      await socket?.ask('session:new', PAYLOAD)
      for (const hook of [...Object.keys(answers), '/lost', '/limited', '/created']) {
        if (socket) await socket.ask('verb:hook', PAYLOAD, { hook })
        else await app.inject({ method: 'POST', url: hook, payload: PAYLOAD })
      }
      const warned = lines.filter(({ level }) => level === 40)
      // jambonz itself reports the status 429 over HTTP.
      const statuses = [201, 302, 204, ...(socket ? [429] : [])]
      t.strictSame(
        warned.map(({ statusCode }) => statusCode),
        statuses,
        transport
      )
      t.ok(warned.every(({ msg }) => msg.startsWith('jambonz ignores an answer with this status')))
    }
  }
)

t.test('acks are not compressed, even if a proxy adds accept-encoding to the upgrade', async (t) => {
  const app = await build(t)
  await app.register(fastifyCompress, { threshold: 0 })
  app.jambonz.webhook('/call', async () => SAY)
  const socket = await JambonzSocket.open(t, `${await listening(app)}/call`, {
    headers: { 'accept-encoding': 'gzip, br', 'if-none-match': '*', 'range': 'bytes=0-1' }
  })
  t.strictSame(await socket.ask('session:new'), SAY)
})

t.test('if the application destroys an answer, this is logged, and the socket stays open', async (t) => {
  const { logger, lines } = keepingLogger()
  const app = await build(t, { fastify: { loggerInstance: logger } })
  app.jambonz.webhook('/call', async () => SAY)
  app.jambonz.webhook('/gone', (_request, reply) => {
    reply.hijack()
    reply.raw.destroy()
  })
  const socket = await JambonzSocket.open(t, `${await listening(app)}/call`)
  await socket.ask('session:new')
  t.equal(await socket.ask('verb:hook', {}, { hook: '/gone' }), undefined)
  t.strictSame(await socket.ask('verb:hook', {}, { hook: '/call' }), SAY)
  t.ok(lines.some(({ msg }) => msg.includes('a message was not answered')))
})

t.test('the constraints of a webhook choose the handler of an application websocket, too', async (t) => {
  const app = await build(t)
  const named = (text: string) => async () => [{ verb: 'say' as const, text }]
  for (const host of ['one.example.com', 'two.example.com']) {
    app.jambonz.webhook(
      '/call',
      { constraints: { host }, env: { NAME: { type: 'string', description: host } } },
      named(host)
    )
    app.jambonz.webhook('/next', { constraints: { host } }, named(`next of ${host}`))
  }
  app.jambonz.webhook('/versions', { constraints: { version: '1.2.0' } }, named('first version'))
  app.jambonz.webhook('/versions', { constraints: { version: '2.0.0' } }, named('second version'))
  const url = await listening(app)
  const open = async (path: string, headers: Record<string, string>) =>
    await JambonzSocket.open(t, `${url}${path}`, { headers })
  for (const host of ['one.example.com', 'two.example.com']) {
    const socket = await open('/call', { host })
    t.match(await socket.ask('session:new'), [{ text: host }])
    t.match(await socket.ask('verb:hook', {}, { hook: '/next' }), [{ text: `next of ${host}` }])
    const asked = await app.inject({ method: 'OPTIONS', url: '/call', headers: { host } })
    t.match(asked.json(), { NAME: { description: host } })
  }
  await t.rejects(open('/call', { host: 'three.example.com' }), { message: '404' })
  for (const [version, text] of [
    ['1.x', 'first version'],
    ['2.x', 'second version']
  ] as const) {
    const socket = await open('/versions', { 'accept-version': version })
    t.match(await socket.ask('session:new'), [{ text }])
  }
  await t.rejects(open('/versions', {}), { message: '404' })
})

t.test('a message over the bodyLimit of its route is refused, as over HTTP', async (t) => {
  const routes = (app: FastifyInstance) => app.jambonz.webhook('/call', { bodyLimit: 200 }, async () => SAY)
  t.strictSame(await verbsOf(t, routes), { http: SAY, websocket: SAY })
  const data = { from: '1'.repeat(200) }
  t.strictSame(await verbsOf(t, routes, { data }), { http: [], websocket: [] })
})

t.test("the application's rewriteUrl applies once to the url of a websocket", async (t) => {
  const app = await build(t, { fastify: { rewriteUrl: ({ url = '' }) => `/v1${url}` } })
  const seen: unknown[] = []
  app.jambonz.webhook('/v1/call', async ({ url, originalUrl }) => {
    seen.push([url, originalUrl])
    return SAY
  })
  const base = await listening(app)
  for (const path of ['/call?x=1', '/call/adulting?x=1']) {
    const socket = await JambonzSocket.open(t, base + path)
    t.strictSame(await socket.ask('session:new', {}, { callSid: path }), SAY)
  }
  t.strictSame(seen, Array(2).fill(['/v1/call?x=1', '/call?x=1']))
})
