import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import websocket from '@fastify/websocket'
import jambonzListen, { type JambonzListenOptions } from '../../lib/index.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, folder, listening } from '../helpers/build.js'
import { keepingLogger } from '../helpers/log.js'
import { callWebhook } from '../helpers/payloads.js'
import { until } from '../helpers/until.js'

interface Answer {
  url: string
  actionHook: string
}

function host(t: Test, options = {}): FastifyInstance {
  const app = Fastify(options)
  t.teardown(() => app.close())
  return app
}

/**
 * Registers in the scope a webhook that answers with a listen, and the listen's hook. Returns the requests of
 * the hook.
 */
function listen(scope: FastifyInstance, path: string, hook = `${path}/done`): string[] {
  const ended: string[] = []
  scope.jambonz.webhook(path, async () => [{ verb: 'listen', actionHook: hook, maxLength: 1 }])
  scope.jambonz.actionHook(`${path}/done`, async ({ listen }) => {
    ended.push(`${listen.path} ${listen.connected} ${listen.audio.bytes > 0}`)
  })
  return ended
}

async function ask(app: FastifyInstance, url: string, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await app.inject({ method: 'POST', url, payload: callWebhook(), headers })
  if (response.statusCode !== 200) throw new Error(`${url}: ${response.body}`)
  return response.json<Answer[]>()[0]!
}

t.test('a listen is served wherever the plugin is registered', { jobs: 4 }, async (t) => {
  const places: Record<string, (app: FastifyInstance) => Promise<[path: string, ended: string[]]>> = {
    'a scope with a prefix': async (app) => {
      let ended: string[] = []
      await app.register(
        async (scope) => {
          await scope.register(jambonzListen)
          ended = listen(scope, '/call')
        },
        { prefix: '/v1' }
      )
      return ['/v1/call', ended]
    },
    'nested scopes': async (app) => {
      let ended: string[] = []
      await app.register(
        async (outer) => {
          await outer.register(
            async (scope) => {
              await scope.register(jambonzListen)
              ended = listen(scope, '/call')
            },
            { prefix: '/v1/' }
          )
        },
        { prefix: '/api' }
      )
      return ['/api/v1/call', ended]
    },
    "a scope's prefix and the option prefix": async (app) => {
      let ended: string[] = []
      await app.register(
        async (scope) => {
          await scope.register(jambonzListen, { prefix: '/voice' })
          ended = listen(scope, '/call')
        },
        { prefix: '/v1' }
      )
      return ['/v1/call', ended]
    },
    'the option prefix alone': async (app) => {
      await app.register(jambonzListen, { prefix: 'voice' })
      return ['/call', listen(app, '/call')]
    },
    'a scope with a parameter in its prefix': async (app) => {
      let ended: string[] = []
      await app.register(
        async (scope) => {
          await scope.register(jambonzListen)
          ended = listen(scope, '/call')
        },
        { prefix: '/tenants/:tenant' }
      )
      return ['/tenants/acme/call', ended]
    },
    'the root, with routes in a scope whose prefix has a parameter of two parts': async (app) => {
      let ended: string[] = []
      await app.register(jambonzListen)
      await app.register(
        async (scope) => {
          ended = listen(scope, '/call')
        },
        { prefix: '/:country-:tenant/x' }
      )
      return ['/de-acme%20inc/x/call', ended]
    }
  }
  for (const [place, register] of Object.entries(places)) {
    t.test(place, async (t) => {
      const app = host(t)
      const [path, ended] = await register(app)
      const base = await listening(app)
      for (const url of [path, `${path}?x=1`]) {
        const story = await simulateCall({ url: base + url })
        t.same(story.errors, [])
      }
      t.equal(ended.length, 2)
      for (const end of ended) t.match(end, /true true$/, end)
    })
  }
})

t.test(
  'several registrations share one server, and websocket routes of the application work in each',
  async (t) => {
    for (const registered of ['by the plugin', 'by the host, first', 'by the host, last']) {
      await t.test(`websockets work with @fastify/websocket registered ${registered}`, async (t) => {
        const app = host(t)
        if (registered === 'by the host, first') await app.register(websocket)
        const ended: Record<string, string[]> = {}
        for (const prefix of ['/a', '/b']) {
          await app.register(
            async (scope) => {
              await scope.register(jambonzListen)
              ended[prefix] = listen(scope, '/call')
              scope.get('/echo', { websocket: true }, (socket) => {
                socket.on('message', (data) => socket.send(`${prefix} ${String(data)}`))
              })
            },
            { prefix }
          )
        }
        if (registered === 'by the host, last') await app.register(websocket)
        const base = await listening(app)
        for (const prefix of ['/a', '/b']) {
          const story = await simulateCall({ url: `${base}${prefix}/call` })
          t.same(story.errors, [], prefix)
          t.same(ended[prefix], [`${prefix}/audio true true`])
          const socket = new WebSocket(`${base.replace('http', 'ws')}${prefix}/echo`)
          await once(socket, 'open')
          socket.send('hello')
          t.equal(String((await once(socket, 'message'))[0]), `${prefix} hello`)
          socket.close()
        }
      })
    }
  }
)

t.test("the application's own websocket routes have the defaults of @fastify/websocket", async (t) => {
  const { logger, lines } = keepingLogger()
  const app = await build(t, { limits: { maxPayload: 2_048 }, fastify: { loggerInstance: logger } })
  app.get('/throws', { websocket: true }, () => {
    throw new Error('sync')
  })
  app.get('/rejects', { websocket: true }, async () => {
    throw new Error('async')
  })
  const got: number[] = []
  app.get('/takes', { websocket: true }, (socket) => {
    socket.on('message', (data: Buffer) => got.push(data.length))
  })
  const base = (await listening(app)).replace('http', 'ws')
  for (const [path, message] of [
    ['/throws', 'sync'],
    ['/rejects', 'async']
  ]) {
    const socket = new WebSocket(base + path)
    socket.on('error', () => {})
    await once(socket, 'close')
    await until(() => lines.some(({ msg }) => msg === message), `${path} to be logged`)
  }
  const big = new WebSocket(`${base}/takes`)
  await once(big, 'open')
  big.send(Buffer.alloc(5_000_000))
  await until(() => got.length > 0, '5 MB')
  t.equal(got[0], 5_000_000, 'whatever limits.maxPayload says')
  big.close()
  const latin = new WebSocket(`${base}/takes`)
  await once(latin, 'open')
  latin.send(Buffer.from([0xe9]), { binary: false })
  t.equal((await once(latin, 'close'))[0], 1007, 'invalid UTF-8')
})

t.test("in any scope, a listen's url contains the parameters of the webhook's path", async (t) => {
  for (const [prefix, inner, path, audio] of [
    ['/tenants/:tenant', '/sales', '/tenants/acme/sales', '/tenants/acme/audio'],
    ['/tenants/:tenant', '/:department', '/tenants/caf%C3%A9/a%2Fb', '/tenants/caf%C3%A9/audio'],
    ['/tenants/:tenant/', '/x', '/tenants/acme/x', '/tenants/acme/audio'],
    ['/:country-:tenant', '/x/:y', '/de-acme/x/1', '/de-acme/audio'],
    ['/t/:id(^\\d{2,})', '/x', '/t/12/x', '/t/12/audio'],
    ['/t/:name(^[^/]+)', '', '/t/acme', '/t/acme/audio'],
    ['/t/:name(^(?:a|b/)+\\)?)', '/x', '/t/aa/x', '/t/aa/audio'],
    ['', '/t/:tenant', '/t/acme', '/audio']
  ] as const) {
    const app = host(t)
    await app.register(
      async (scope) => {
        await scope.register(jambonzListen)
        await scope.register(
          async (inside) => {
            inside.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done/7' }])
            inside.jambonz.actionHook('/done/:order', async () => [])
          },
          { prefix: inner }
        )
      },
      { prefix }
    )
    const answered = await app.inject({
      method: 'POST',
      url: `${path}/call?x=1`,
      payload: { call_sid: 'a' }
    })
    const [verb] = answered.json<[{ url: string; actionHook: string }]>()
    t.match(verb.url, new RegExp(`^${audio}/[\\w-]+\\.`), prefix + inner)
    t.ok(verb.actionHook.startsWith(`${path}/done/7?listen=`), verb.actionHook)
  }
})

t.test("characters in a hook's path that are not printable ASCII are escaped", async (t) => {
  const app = host(t)
  await app.register(jambonzListen)
  const orders: string[] = []
  const hooks = ['/done/café au lait', '/done/%E2%82%AC 5#rc=2', '/done/😀?note=größer', '/done/a\ud800']
  let hook = ''
  app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: hook, maxLength: 1 }])
  app.jambonz.actionHook('/done/:order', async (request) => {
    orders.push(`${(request.params as { order: string }).order} ${request.listen.connected}`)
  })
  for (hook of hooks) t.same((await simulateCall({ app, hook: '/call' })).errors, [], hook)
  t.same(orders, ['café au lait true', '€ 5 true', '😀 true', 'a\ufffd true'])
})

t.test('a hook whose path contains a value reaches the route that has a parameter there', async (t) => {
  const app = await build(t)
  const seen: unknown[] = []
  await app.register(
    async (scope) => {
      scope.jambonz.webhook('/call', async (request) => [
        { verb: 'listen', actionHook: (request.query as { hook: string }).hook }
      ])
      scope.jambonz.actionHook('/done/:order', async (request) => {
        seen.push(request.params, request.listen.id)
      })
    },
    { prefix: '/v1' }
  )
  for (const hook of ['/done/42', '/v1/done/42', '/done/42?x=1']) {
    const { actionHook } = await ask(app, `/v1/call?hook=${encodeURIComponent(hook)}`)
    t.match(actionHook, /^\/v1\/done\/42\?(x=1&)?listen=/, hook)
    const reply = await app.inject({ method: 'POST', url: actionHook, payload: callWebhook() })
    t.equal(reply.statusCode, 200)
  }
  t.match(seen, [{ order: '42' }, String, { order: '42' }, String, { order: '42' }, String])
})

t.test('an absolute url of this application is recognised in every spelling of its origin', async (t) => {
  const rows: Array<{
    url: string
    headers?: Record<string, string>
    trustProxy?: boolean
    options?: JambonzListenOptions
    elsewhere?: boolean
  }> = [
    { url: 'wss://voice.example.com:443/agent/audio', headers: { host: 'voice.example.com' } },
    { url: 'ws://voice.example.com:80/agent/audio', headers: { host: 'voice.example.com' } },
    { url: 'wss://voice.example.com/agent/audio', headers: { host: 'voice.example.com:443' } },
    { url: 'wss://Voice.EXAMPLE.com/agent/audio/', headers: { host: 'voice.example.com' } },
    { url: 'wss://voice.example.com/agent/audio', headers: { host: 'VOICE.example.com' } },
    { url: 'https://voice.example.com/agent/audio?x=1', headers: { host: 'voice.example.com' } },
    { url: 'ws://voice.example.com:8080/agent/audio', headers: { host: 'voice.example.com:8080' } },
    {
      url: 'wss://voice.example.com/agent/audio',
      headers: { 'host': '10.0.0.1:3000', 'x-forwarded-host': 'voice.example.com, inner.example.com' },
      trustProxy: true
    },
    {
      url: 'wss://voice.example.com:8443/agent/audio',
      headers: {
        'host': '10.0.0.1:3000',
        'x-forwarded-host': 'voice.example.com',
        'x-forwarded-port': '8443'
      },
      trustProxy: true
    },
    {
      url: 'wss://voice.example.com:8443/agent/audio',
      headers: {
        host: '10.0.0.1:3000',
        forwarded: 'for=192.0.2.1;host="voice.example.com:8443";proto=https, for=10.0.0.2; Host=inner'
      },
      trustProxy: true
    },
    {
      url: 'wss://voice.example.com/agent/audio',
      headers: { host: '10.0.0.1:3000', forwarded: 'host=voice.example.com' },
      elsewhere: true
    },
    { url: 'wss://xn--bcher-kva.example/agent/audio', options: { publicUrl: 'https://bücher.example' } },
    { url: 'wss://Example.com:443/voice/agent/audio', options: { publicUrl: 'https://example.com/voice/' } },
    { url: 'wss://example.com:8443/agent/audio', options: { publicUrl: 'https://example.com:8443' } },
    { url: 'wss://other.example.com/agent/audio', headers: { host: 'voice.example.com' }, elsewhere: true },
    { url: 'ws://voice.example.com:81/agent/audio', headers: { host: 'voice.example.com' }, elsewhere: true },
    {
      url: 'wss://voice.example.com.evil/agent/audio',
      headers: { host: 'voice.example.com' },
      elsewhere: true
    },
    {
      url: 'wss://voice.example.com/agent/audio',
      headers: { 'host': '10.0.0.1:3000', 'x-forwarded-host': 'voice.example.com' },
      elsewhere: true
    },
    {
      url: 'wss://example.com/agent/audio',
      options: { publicUrl: 'https://example.com/voice' },
      elsewhere: true
    }
  ]
  for (const { url, headers, trustProxy = false, options = {}, elsewhere = false } of rows) {
    const app = await build(t, { fastify: { trustProxy }, ...options })
    app.jambonz.audio('/agent/audio', () => {})
    app.jambonz.webhook('/call', async () => [
      { verb: 'listen', url, actionHook: url.replace(/^ws/, 'http').replace('/agent/audio', '/done') }
    ])
    app.jambonz.actionHook('/done/', async () => {})
    app.jambonz.actionHook('/done', async () => {})
    const answer = await ask(app, '/call', headers)
    const says = `${url} with ${JSON.stringify({ ...headers, ...options })}`
    if (elsewhere) {
      t.equal(answer.url, url, says)
      continue
    }
    t.match(answer.url, /\/agent\/audio\/[0-9a-f]+-[0-9a-f]+\.[\w-]{22}(\?x=1)?$/, says)
    t.match(answer.actionHook, /\/done\/?\?(x=1&)?listen=[0-9a-f]/, says)
  }
})

t.test('publicUrl with a path serves sockets and hooks', async (t) => {
  const app = await build(t, { publicUrl: 'https://example.com/voice' })
  app.jambonz.audio('/agent/audio', () => {})
  app.jambonz.webhook('/call', async () => [
    { verb: 'listen', actionHook: '/call/done' },
    { verb: 'listen', actionHook: '/voice/call/done', url: '/voice/agent/audio' },
    { verb: 'listen', actionHook: 'https://example.com/voice/call/done' },
    { verb: 'listen' }
  ])
  app.jambonz.actionHook('/call/done', async () => {})
  const { statusCode, ...response } = await app.inject({
    method: 'POST',
    url: '/call',
    payload: callWebhook()
  })
  t.equal(statusCode, 200)
  const verbs = JSON.parse(response.body) as Answer[]
  t.match(verbs, [
    { url: /^wss:\/\/example\.com\/voice\/audio\//, actionHook: /^\/voice\/call\/done\?listen=/ },
    { url: /^wss:\/\/example\.com\/voice\/agent\/audio\//, actionHook: /^\/voice\/call\/done\?listen=/ },
    { actionHook: /^https:\/\/example\.com\/voice\/call\/done\?listen=/ },
    { actionHook: /^\/voice\/audio\/ended\?listen=/ }
  ])
})

t.test('a call is served behind a proxy that strips a path', async (t) => {
  const app = await build(t, {
    publicUrl: 'http://127.0.0.1/voice',
    recording: { directory: folder() },
    fastify: { rewriteUrl: ({ url = '' }) => url.replace(/^\/voice/, '') }
  })
  const ended = listen(app, '/call')
  const story = await simulateCall({ app, hook: '/voice/call' })
  t.same(story.errors, [])
  t.same(ended, ['/audio true true'])
})

t.test("a mistake in a hook's url is logged once", async (t) => {
  const { logger, lines } = keepingLogger()
  const app = await build(t, { fastify: { loggerInstance: logger } })
  app.jambonz.webhook('/call', async () => [
    { verb: 'listen', actionHook: '/call' },
    { verb: 'listen', actionHook: '/plain' },
    { verb: 'listen', actionHook: '/nowhere' },
    { verb: 'listen', actionHook: '/status' },
    { verb: 'listen', actionHook: 'https://example.com/elsewhere' },
    { verb: 'listen', actionHook: '/done' },
    { verb: 'listen', actionHook: 'done' },
    { verb: 'listen' }
  ])
  app.post('/plain', async () => [])
  app.jambonz.statusHook('/status')
  app.jambonz.actionHook('/done', async () => {})
  for (let i = 0; i < 3; i++) await ask(app, '/call')
  const warnings = lines.filter(({ level }) => level === 40)
  t.match(warnings, [
    { actionHook: '/call', msg: /leads to webhook\(\)/ },
    { actionHook: '/plain', msg: /route of the application's own/ },
    { actionHook: '/nowhere', msg: /no route/ },
    { actionHook: '/status', msg: /leads to statusHook\(\)/ },
    {
      actionHook: 'done',
      msg: /does not begin with a slash, so jambonz cannot call it: write a path such as/
    }
  ])
  t.equal(warnings.length, 5)
})

t.test(
  'the log says once for each webhook that a new call is declined, since the handler returned no verbs',
  async (t) => {
    const { logger, lines } = keepingLogger()
    const app = await build(t, { fastify: { loggerInstance: logger } })
    app.jambonz.webhook('/call', async () => {})
    const payload = { call_sid: 'a', call_status: 'trying', direction: 'inbound' }
    for (let i = 0; i < 2; i++) await app.inject({ method: 'POST', url: '/call', payload })
    await app.inject({ method: 'POST', url: '/call', payload: { ...payload, call_status: 'in-progress' } })
    const warnings = lines.filter(({ level }) => level === 40)
    t.match(warnings, [
      { msg: /answered a new call without verbs, so jambonz declines the call: return an array/ }
    ])
    t.equal(warnings.length, 1)
  }
)

t.test('another listener that ends the upgrade of an audio socket is named in the log', async (t) => {
  const { logger, said } = keepingLogger()
  const app = await build(t, { fastify: { loggerInstance: logger } })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', maxLength: 1 }])
  const base = await listening(app)
  const mine = new WebSocketServer({ server: app.server, path: '/mine' })
  t.teardown(() => mine.close())
  const story = await simulateCall({ url: `${base}/in` })
  t.match(story.listens, [{ refused: { status: 400 } }])
  t.match(said('before the audio socket had opened'), [{ msg: /Another listener .* WebSocketServer of ws/ }])
})
