import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { build, listening, type BuildOptions } from '../helpers/build.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { keepingLogger } from '../helpers/log.js'
import { until } from '../helpers/until.js'

// Attacks on the application over a websocket and over HTTP.

const say = (text: string) => ({ verb: 'say' as const, text })

/**
 * Starts an application that has routes of its own next to, below and above webhooks with parameters and
 * wildcards.
 */
async function target(t: Test, options: BuildOptions = {}): Promise<{ url: string; opened: string[] }> {
  const opened: string[] = []
  const app = await build(t, options)
  for (const path of ['/admin', '/x/admin', '/files/secret', '/acme/state', '/call/admin']) {
    app.post(path, async () => {
      opened.push(path)
      return [say('opened')]
    })
  }
  app.get('/page', async () => {
    opened.push('/page')
    return [say('page')]
  })
  app.jambonz.webhook('/call', async () => [say('hello')])
  app.jambonz.webhook('/:tenant/:line', async ({ params }) => [say(JSON.stringify(params))])
  app.jambonz.webhook('/files/*', async ({ params }) => [say(JSON.stringify(params))])
  app.register(
    async (scope) => {
      scope.jambonz.webhook('/here', async () => [say('here')])
      scope.jambonz.statusHook('/state')
    },
    { prefix: '/in/:tenant' }
  )
  return { url: await listening(app), opened }
}

type Test = Parameters<typeof build>[0]

t.test("no spelling of a message's hook reaches a route of the application itself", async (t) => {
  const { url, opened } = await target(t)
  const socket = await JambonzSocket.open(t, `${url}/call`)
  await socket.ask('session:new')
  for (const hook of [
    '/admin',
    '/../admin',
    '/%2e%2e/admin',
    '/.%2E/admin',
    '/call/../admin',
    '/files/../admin',
    '/files/%2e%2e/admin',
    '/files/..\\..\\admin',
    '/files/a/../../admin',
    '/files/\t../admin',
    '/files/.\n./admin',
    '/files//../../admin',
    '/x/y/../admin',
    '/files/./secret',
    '\\admin',
    'admin',
    '../admin',
    './admin',
    '?x',
    '//admin',
    '///admin',
    'ws://files/../admin',
    'ws:admin',
    'wss://user:password@host/admin',
    'http://127.0.0.1/files/x',
    'https:/files/x',
    'file:///files/x',
    'javascript:alert(1)',
    `${url}/files/x`,
    '/page',
    '/audio/ended',
    '/files/%',
    `/files/${'x'.repeat(100_000)}/../../admin`,
    'ws://[::',
    '\u0000'
  ]) {
    const answer = await socket.ask('verb:hook', {}, { hook })
    t.notMatch(answer, [{ text: 'opened' }], hook.slice(0, 40))
  }
  t.strictSame(opened, [])
  for (const [hook, text] of [
    ['/files/%2f..%2fadmin', '{"*":"/../admin"}'],
    ['/a/b\r\nx-admin: yes', '{"tenant":"a","line":"bx-admin: yes"}'],
    ['/files/a?url=http://x/../admin#/admin', '{"*":"a"}'],
    ['wss://other.example.com/acme/line', '{"tenant":"acme","line":"line"}']
  ] as const) {
    t.match(await socket.ask('verb:hook', {}, { hook }), [{ text }], hook)
  }
  t.strictSame(opened, [])
})

t.test('the path of a socket, or of a status hook with parameters, reaches no other route', async (t) => {
  const { logger, lines } = keepingLogger()
  const { url, opened } = await target(t, { fastify: { loggerInstance: logger } })
  // Each path matches two routes: a webhook, because an upgrade is a GET, and a POST route of the
  // application.
  for (const path of ['/x/admin', '/files/secret', '/call/admin']) {
    const socket = await JambonzSocket.open(t, url + path)
    t.strictSame(await socket.ask('session:new'), [], path)
  }
  for (const tenant of ['..', '%2e%2e', '..%2f..', 'a%2f..%2f..', '%3Fx']) {
    const socket = await rawSocket(t, url, `/in/${tenant}/here`)
    if (socket === undefined) continue
    socket.send('call:status', { call_status: 'in-progress' })
    await socket.ask('verb:hook', {}, { hook: '/nowhere' })
  }
  t.strictSame(opened, [])
  t.ok(lines.some(({ err }) => (err as { code?: string } | undefined)?.code === 'FST_JAMBONZ_HOOK_ROUTE'))
})

/**
 * Opens a socket with exactly this path, which a URL parser would change. Resolves to undefined if it is
 * refused.
 */
async function rawSocket(t: Test, url: string, path: string): Promise<JambonzSocket | undefined> {
  return await JambonzSocket.open(t, url, {
    finishRequest: (request: { path: string; end(): void }) => {
      request.path = path
      request.end()
    }
  } as object).catch(() => undefined)
}

t.test('a message reaches no route through a rewritten url, and no route with a constraint', async (t) => {
  const opened: string[] = []
  const app = await build(t, {
    fastify: { rewriteUrl: ({ url = '' }) => url.replace('/public', '/admin') }
  })
  app.post('/admin', async () => {
    opened.push('/admin')
    return [say('opened')]
  })
  app.jambonz.webhook('/call', async () => [say('hello')])
  app.jambonz.webhook('/public', async () => [say('public')])
  app.jambonz.webhook('/shared', async () => [say('shared')])
  app.route({
    method: 'POST',
    url: '/shared',
    constraints: { host: /./ },
    handler: async () => {
      opened.push('/shared')
      return [say('opened')]
    }
  })
  const socket = await JambonzSocket.open(t, `${await listening(app)}/call`)
  await socket.ask('session:new')
  for (const hook of ['/public', '/shared']) {
    t.equal(await socket.ask('verb:hook', {}, { hook }), undefined, hook)
  }
  t.strictSame(opened, [])
})

t.test('a message sets no header, so the handler sees the headers of the upgrade', async (t) => {
  let seen: Record<string, unknown> = {}
  let ip = ''
  const app = await build(t, { fastify: { trustProxy: true } })
  app.jambonz.webhook('/call', async (request) => {
    seen = request.headers
    ip = request.ip
    return [say('hello')]
  })
  const socket = await JambonzSocket.open(t, `${await listening(app)}/call`)
  for (const [at, b3] of [
    'x'.repeat(500_000),
    'abc\r\nx-admin: yes',
    { toString: 'a' },
    `${'0'.repeat(32)}-${'0'.repeat(16)}-1`
  ].entries()) {
    socket.sendText(
      JSON.stringify({
        type: 'session:new',
        msgid: `m${at}`,
        call_sid: `c${at}`,
        b3,
        headers: { 'x-admin': 'yes', 'authorization': 'Basic eDp5', 'x-forwarded-for': '192.0.2.1' },
        method: 'GET',
        url: '/admin',
        data: { 'call_sid': `c${at}`, 'x-forwarded-for': '192.0.2.1' }
      })
    )
    await until(() => socket.ackOf(`m${at}`), 'the ack')
    t.notOk('x-admin' in seen || 'authorization' in seen || 'x-forwarded-for' in seen)
    t.equal(seen.b3, at === 3 ? b3 : undefined)
    t.equal(ip, '127.0.0.1')
  }
})

t.test('messages that jambonz never sends get no answer and do no harm', async (t) => {
  const bodies: unknown[] = []
  const app = await build(t)
  app.jambonz.webhook('/call', async ({ body }) => {
    bodies.push(body)
    return [say('hello')]
  })
  const socket = await JambonzSocket.open(t, `${await listening(app)}/call`)
  const message = (more: string, data = '"call_sid":"c1"') =>
    `{"type":"session:new","msgid":"m"${more},"call_sid":"c1","data":{${data}}}`
  for (const text of [
    '',
    'null',
    '[]',
    '"text"',
    '{}',
    '{"type":1,"msgid":"m"}',
    message(',"__proto__":{"admin":true}'),
    message('', '"call_sid":"c1","__proto__":{"admin":true}'),
    message('', '"call_sid":"c1","sip":{"constructor":{"prototype":{"admin":true}}}'),
    message('', '"call_sid":"c1","\\u005f_proto__":{"admin":true}'),
    `{"type":"session:new","msgid":"${'m'.repeat(200_000)}","data":{"call_sid":"c1"}}`,
    `{"type":"session:new","msgid":"${'\\u0001'.repeat(60)}","data":{"call_sid":"c1"}}`,
    '['.repeat(500_000)
  ]) {
    socket.sendText(text)
  }
  socket.send('session:new', {}, { callSid: 'x'.repeat(129) })
  socket.send('verb:status', {}, { callSid: '' })
  socket.send('hasOwnProperty', {}, { callSid: '__proto__', hook: '/call' })
  t.match(
    await socket.ask('session:new', {}, { callSid: 'c2' }),
    [{ text: 'hello' }],
    'the socket stays open'
  )
  t.match(bodies, [{ call_sid: '__proto__' }, { call_sid: 'c2' }])
  t.equal(({} as { admin?: unknown }).admin, undefined)
  t.equal((await app.jambonz.calls.list()).length, 2)
})

t.test('a message over 1 MiB closes its socket, but no other socket', async (t) => {
  const app = await build(t)
  app.jambonz.webhook('/call', async () => [say('hello')])
  const url = await listening(app)
  const [big, other] = [
    await JambonzSocket.open(t, `${url}/call`),
    await JambonzSocket.open(t, `${url}/call`)
  ]
  big.sendText('x'.repeat(1024 * 1024 + 1))
  await until(() => big.code !== undefined, 'the close')
  t.equal(big.code, 1009)
  t.match(await other.ask('session:new'), [{ text: 'hello' }])
})

t.test(
  'every upgrade and every request needs the credentials of webhookAuth, whatever its other headers are',
  async (t) => {
    const opened: unknown[] = []
    const routes = (app: FastifyInstance) => {
      app.jambonz.webhook('/call', async ({ jambonz }) => {
        opened.push(jambonz)
        return [say('hello')]
      })
      app.jambonz.actionHook('/done', async () => {
        opened.push('/done')
      })
    }
    const app = await build(t, { webhookAuth: { username: 'web', password: 'hook' } })
    routes(app)
    const url = await listening(app)
    for (const [path, options] of [
      ['/call', {}],
      ['/call?msgid=m&transport=websocket', {}],
      ['/CALL', {}],
      ['/call/', {}],
      ['//call', {}],
      ['/call', { auth: 'web:' }],
      ['/call', { auth: ':hook' }],
      ['/call', { headers: { authorization: 'Bearer hook' } }],
      ['/call', { headers: { 'x-jambonz-message': 'm', 'msgid': 'm' } }],
      ['/done', {}]
    ] as const) {
      await t.rejects(JambonzSocket.open(t, url + path, options), { message: /40[14]/ }, path)
    }
    for (const headers of [
      { upgrade: 'websocket', connection: 'upgrade' },
      { 'sec-websocket-protocol': 'ws.jambonz.org' },
      { 'x-light-my-request': '1' }
    ]) {
      for (const path of ['/call', '/done']) {
        const { status } = await fetch(url + path, {
          method: 'POST',
          body: JSON.stringify({ call_sid: 'c1', msgid: 'm', type: 'session:new' }),
          headers: { 'content-type': 'application/json', ...withoutHopByHop(headers) }
        })
        t.equal(status, 401)
      }
    }
    t.strictSame(opened, [])
  }
)

/** Returns the headers without those that fetch itself sets. */
function withoutHopByHop(headers: Record<string, string | undefined>): Record<string, string> {
  const { upgrade: _upgrade, connection: _connection, ...rest } = headers
  return rest as Record<string, string>
}
