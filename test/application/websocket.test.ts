import t, { type Test } from 'tap'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import type { FastifyInstance } from 'fastify'
import { redisStore } from '../../lib/store/redis.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, folder, serving } from '../helpers/build.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { keepingLogger } from '../helpers/log.js'
import { freePort, noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const say = (text: string) => ({ verb: 'say' as const, text })

t.test('the upgrade echoes the subprotocol; other requests to the path are served as before', async (t) => {
  const { app, url } = await serving(t, (app) => {
    app.get('/call', async () => 'a page of the application')
    app.jambonz.webhook('/call', async () => [say('hello')])
    app.jambonz.webhook('/', async () => [say('root')])
  })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  t.equal(socket.protocol, 'ws.jambonz.org')
  t.match(await socket.ask('session:new'), [{ verb: 'say', text: 'hello' }])
  t.match(await (await JambonzSocket.open(t, `${url}/`)).ask('session:new', {}, { callSid: 'call-2' }), [
    { text: 'root' }
  ])
  t.equal((await app.inject('/call')).body, 'a page of the application')
  t.equal(
    (await app.inject({ method: 'POST', url: '/call', payload: { call_sid: 'c' } })).json()[0].text,
    'hello'
  )
  await t.rejects(JambonzSocket.open(t, `${url}/nowhere`), { message: '404' })
})

t.test(
  'the upgrade needs Basic credentials; with a webhookSecret alone, every upgrade is refused',
  async (t) => {
    const webhookAuth = { username: 'web', password: 'hook' }
    const routes = (app: FastifyInstance) => {
      app.jambonz.webhook('/call', async () => [say('hello')])
    }
    const guarded = await serving(t, routes, { webhookAuth, webhookSecret: 'secret' })
    await t.rejects(JambonzSocket.open(t, `${guarded.url}/call`), { message: '401' })
    await t.rejects(JambonzSocket.open(t, `${guarded.url}/call`, { auth: 'web:wrong' }), { message: '401' })
    const socket = await JambonzSocket.open(t, `${guarded.url}/call`, { auth: 'web:hook' })
    t.match(await socket.ask('session:new'), [{ text: 'hello' }], 'messages need no signature')
    t.equal(
      (await guarded.app.inject({ method: 'POST', url: '/call', payload: { call_sid: 'c' } })).statusCode,
      401,
      'a request over HTTP needs credentials and signature'
    )
    const unsigned = await serving(t, routes, { webhookSecret: 'secret' })
    await t.rejects(JambonzSocket.open(t, `${unsigned.url}/call`), { message: '401' })
  }
)

t.test('each message that needs an ack gets one; events update the call', async (t) => {
  const events: unknown[] = []
  let release = () => {}
  const { app, url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async () => [say('hello')])
    app.jambonz.webhook('/slow', async () => {
      await new Promise<void>((resolve) => {
        release = resolve
      })
      return [say('slow')]
    })
    app.jambonz.webhook('/quick', async () => [say('quick')])
  })
  const names = [
    'jambonz:error',
    'verb:status',
    'llm:event',
    'llm:tool-call',
    'tts:streaming-event',
    'tts:tokens-result'
  ] as const
  for (const name of names) {
    app.jambonz.calls.events.on(name, ({ callSid, hook, data }) =>
      events.push([name, callSid, hook, data.event])
    )
  }
  const socket = await JambonzSocket.open(t, `${url}/call`)
  await socket.ask('session:new')
  const slow = socket.send('verb:hook', {}, { hook: '/slow' })
  for (const name of names) {
    socket.send(name, { event: name }, name.startsWith('llm') ? { hook: '/events' } : {})
  }
  socket.send('call:status', { call_status: 'in-progress' })
  t.match(await socket.ask('verb:hook', {}, { hook: 'ws://elsewhere.example.com/quick?x=1' }), [
    { text: 'quick' }
  ])
  t.equal(socket.ackOf(slow), undefined)
  release()
  await until(() => socket.ackOf(slow), 'the slow ack')
  t.equal(socket.sent.length, 3, 'three acks and nothing else')
  t.strictSame(
    events,
    names.map((name) => [name, 'call-1', name.startsWith('llm') ? '/events' : undefined, name])
  )
  t.equal((await app.jambonz.calls.get('call-1'))!.callStatus, 'in-progress')
})

t.test('a hook reaches only webhooks and hooks of the plugin', async (t) => {
  const opened: string[] = []
  const { url } = await serving(t, (app) => {
    app.post('/admin', async () => {
      opened.push('/admin')
      return [say('admin')]
    })
    app.jambonz.webhook('/call', async () => [say('hello')])
    app.jambonz.webhook('/tenants/:tenant/menu', async ({ params, query, jambonz }) => {
      t.match(jambonz, { transport: 'websocket', msgid: /^message-/ })
      return [say(JSON.stringify([params, query]))]
    })
  })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  await socket.ask('session:new')
  for (const hook of [
    '/admin',
    'ws://x/admin',
    '//admin',
    '/nowhere',
    '/call/../admin',
    '/%61dmin',
    '/audio/ended/x'
  ]) {
    t.equal(await socket.ask('verb:hook', {}, { hook }), undefined, hook)
  }
  t.strictSame(opened, [])
  t.match(await socket.ask('verb:hook', {}, { hook: '/tenants/a%20b/menu?x=1' }), [
    { text: '[{"tenant":"a b"},{"x":"1"}]' }
  ])
  t.match(await socket.ask('verb:hook', {}, { hook: 'tenants/c/menu' }), [{ text: '[{"tenant":"c"},{}]' }])
})

t.test(
  'verbs of more than 24 KiB cause an error that names their size, and the fallback is the answer',
  async (t) => {
    const { logger, said } = keepingLogger()
    const { app, url } = await serving(
      t,
      (app) => {
        app.jambonz.webhook('/call', async () => [say('x'.repeat(25_000))])
      },
      { fallback: [say('sorry')], fastify: { loggerInstance: logger } }
    )
    const socket = await JambonzSocket.open(t, `${url}/call`)
    t.match(await socket.ask('session:new'), [{ text: 'sorry' }])
    const [line] = said('the fallback verbs are answered')
    t.match(line!.err, {
      code: 'FST_JAMBONZ_MESSAGE_TOO_LONG',
      message: /24448 bytes .* verbs has 25\d\d\d bytes/
    })
    t.equal(
      (await app.inject({ method: 'POST', url: '/call', payload: { call_sid: 'c' } })).json()[0].text.length,
      25_000,
      'over HTTP, there is no such limit'
    )
  }
)

t.test('a message without a top-level call_sid belongs to the call of its socket', async (t) => {
  const { app, url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async ({ call }) => [say(call.callSid)])
  })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  t.match(
    await socket.ask(
      'session:redirect',
      { call_sid: 'call-9' },
      { callSid: null, hook: `${url.replace('http', 'ws')}/call` }
    ),
    [{ text: 'call-1' }].map(() => ({ text: 'call-9' }))
  )
  await app.jambonz.calls.hangUp('call-9')
  await until(() => socket.commands.length === 1, 'the command')
  t.match(socket.commands, [{ command: 'call:status', data: { call_status: 'completed' } }])
})

t.test(
  'drain sends the pending answers, closes sockets with 1012 and answers new ones with 503',
  async (t) => {
    const gate: { open?: () => void } = {}
    const { app, url } = await serving(t, (app) => {
      app.jambonz.webhook('/call', async () => [say('hello')])
      app.jambonz.webhook('/slow', async () => {
        await new Promise<void>((resolve) => {
          gate.open = resolve
        })
        return [say('slow')]
      })
    })
    const socket = await JambonzSocket.open(t, `${url}/call`)
    await socket.ask('session:new')
    const slow = socket.ask('verb:hook', {}, { hook: '/slow' })
    await until(() => gate.open, 'the handler')
    const drained = app.jambonz.drain()
    await t.rejects(JambonzSocket.open(t, `${url}/call`), { message: '503' })
    gate.open!()
    t.match(await slow, [{ text: 'slow' }])
    await drained
    await until(() => socket.code !== undefined, 'the close')
    t.equal(socket.code, 1012)
    t.equal((await app.jambonz.calls.get('call-1'))!.endedAt, undefined, 'the call has not ended')
  }
)

t.test('fastify.close() never closes a live call with 1000', async (t) => {
  const { app, url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async () => [say('hello')])
  })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  await socket.ask('session:new')
  await app.close()
  await until(() => socket.code !== undefined, 'the close')
  t.equal(socket.code, 1012)
})

t.test('without a status hook, the call ends when jambonz closes its socket', async (t) => {
  const ended: string[] = []
  const { app, url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async () => [say('hello')])
    app.jambonz.calls.events.on('callEnded', ({ callSid, callStatus }) =>
      ended.push(`${callSid} ${callStatus}`)
    )
  })
  const open = async (callSid: string) => {
    const socket = await JambonzSocket.open(t, `${url}/call`)
    await socket.ask('session:new', {}, { callSid })
    return socket
  }
  const [over, refused, broken, moved] = await Promise.all(['over', 'refused', 'broken', 'moved'].map(open))
  over!.close(1000)
  refused!.close(1001)
  broken!.drop()
  moved!.close(1000)
  await app.inject({ method: 'POST', url: '/call', payload: { call_sid: 'moved' } })
  await until(() => ended.length === 2, 'the ends')
  t.strictSame(ended.sort(), ['over completed', 'refused failed'])
  t.equal((await app.jambonz.calls.get('moved'))!.endedAt, undefined, 'the call continued over HTTP')
})

t.test(
  'a socket that jambonz left open is closed after the end of its call, not during the call',
  async (t) => {
    const { url } = await serving(
      t,
      (app) => {
        app.jambonz.webhook('/call', async () => [say('hello')])
      },
      { limits: { socketIdle: 200, metadataTimeout: 300 } }
    )
    const open = async (callSid: string) => {
      const socket = await JambonzSocket.open(t, `${url}/call`)
      await socket.ask('session:new', {}, { callSid })
      return socket
    }
    const forgotten = await open('call-1')
    const notifier = await open('call-1')
    const live = await open('call-2')
    const silent = await JambonzSocket.open(t, `${url}/call`)
    notifier.send('call:status', { call_status: 'completed', duration: 1 })
    await until(() => forgotten.code !== undefined && silent.code !== undefined, 'the closes')
    t.strictSame([forgotten.code, silent.code], [1000, 1008])
    t.equal(live.code, undefined)
  }
)

t.test('a peer that sends no pong is disconnected', async (t) => {
  const { url } = await serving(
    t,
    (app) => {
      app.jambonz.webhook('/call', async () => [say('hello')])
    },
    { limits: { heartbeat: 100 } }
  )
  const dead = await JambonzSocket.open(t, `${url}/call`, { autoPong: false } as object)
  await dead.ask('session:new')
  await until(() => dead.code !== undefined, 'the end of the socket')
  t.equal(dead.code, 1006)
})

t.test('commands start a listen in mid-call, queue verbs, say text and hang up', async (t) => {
  const recorded: unknown[] = []
  const { app } = await serving(
    t,
    (app) => {
      app.jambonz.webhook('/call', async () => [{ verb: 'answer' }, { verb: 'pause', length: 3_000 }])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        recorded.push(listen.recording !== undefined, listen.endReason)
      })
    },
    { recording: { directory: folder() } }
  )
  const { calls } = app.jambonz
  const call = simulateCall({
    app,
    hook: '/call',
    transport: 'websocket',
    speed: 20,
    patienceMs: Infinity,
    hangUpAfterMs: 600_000
  })
  await call.waitFor('verb', ({ verb }) => verb === 'pause')
  await t.rejects(calls.redirect(call.callSid, [{ verb: 'listen', nonsense: 1 } as never]), {
    code: 'FST_JAMBONZ_VERB_INVALID'
  })
  await calls.redirect(call.callSid, [{ verb: 'listen', actionHook: '/done', maxLength: 60 }])
  await call.waitFor('listen:open')
  await calls.redirect(call.callSid, [say('behind it')], { queue: true })
  await calls.say(call.callSid, 'over the listen')
  await calls.mute(call.callSid, true)
  await calls.redirect(call.callSid, [{ verb: 'pause', length: 2_000 }])
  await call.waitFor('listen:close')
  await call.waitFor('verb', ({ data }) => data.length === 2_000)
  await until(() => recorded.length === 2, 'the hook')
  await calls.hangUp(call.callSid)
  const story = await call
  t.strictSame(story.errors, [])
  t.equal(story.hangupBy, 'jambonz')
  t.strictSame(recorded, [true, 'closed'])
  t.strictSame(
    story.commands.map(({ command, queue }) => `${command}${queue ? ' queued' : ''}`),
    ['redirect', 'redirect queued', 'dub', 'dub', 'mute:status', 'redirect', 'call:status']
  )
  t.match(
    story.commands.slice(2, 4).map(({ data }) => data),
    [{ action: 'addTrack' }, { action: 'sayOnTrack', say: 'over the listen' }],
    'jambonz 0.9 can whisper no text in a listen'
  )
  await t.rejects(calls.hangUp('nobody'), { code: 'FST_JAMBONZ_NOT_REACHED', message: /api/ })
})

t.test('queued verbs of more than 24 KiB are sent in parts, in order', async (t) => {
  const { app, url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async () => [say('hello')])
  })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  await socket.ask('session:new')
  const verbs = Array.from({ length: 10 }, (_, at) => say(String(at).repeat(6_000)))
  await app.jambonz.calls.redirect('call-1', verbs)
  await until(() => socket.commands.flatMap(({ data }) => data as unknown[]).length === 10, 'the commands')
  t.strictSame(
    socket.commands.flatMap(({ data }) => data),
    verbs
  )
  t.strictSame(
    socket.commands.map(({ queueCommand }) => queueCommand),
    [undefined, true, true]
  )
  t.ok(socket.commands.every((command) => Buffer.byteLength(JSON.stringify(command)) <= 24_576))
  await t.rejects(app.jambonz.calls.redirect('call-1', [say('x'.repeat(30_000))]), {
    code: 'FST_JAMBONZ_MESSAGE_TOO_LONG'
  })
})

t.test('a command that any instance gives reaches the call', { skip: noRedis() }, async (t) => {
  const redis = await startRedis(t)
  const instance = () => {
    const client = new Redis(redis.url)
    t.teardown(() => client.disconnect())
    return serving(
      t,
      (app) => {
        app.jambonz.webhook('/call', async () => [say('hello')])
      },
      { store: redisStore(client), secret: 'the same on all instances' }
    )
  }
  const holder = await instance()
  const other = await instance()
  const socket = await JambonzSocket.open(t, `${holder.url}/call`)
  await socket.ask('session:new')
  const { calls } = other.app.jambonz
  await calls.redirect('call-1', [{ verb: 'listen', maxLength: 5 }])
  await calls.hangUp('call-1')
  await until(() => socket.commands.length === 2, 'the commands')
  t.match(socket.commands, [
    { command: 'redirect', data: [{ verb: 'listen', url: /^\/audio\/.+/ }] },
    { command: 'call:status' }
  ])
  await t.rejects(calls.redirect('call-1', [{ verb: 'listen', nonsense: 1 } as never]), {
    code: 'FST_JAMBONZ_VERB_INVALID'
  })
  socket.drop()
  const begun = performance.now()
  await t.rejects(calls.hangUp('call-1'), { code: 'FST_JAMBONZ_NOT_REACHED' })
  t.ok(performance.now() - begun < 2_500)
})

/** the verbs that the webhook /wrong returns */
let handed: unknown

/** Tests that a redirect over REST rejects as a handler with the same verbs fails, and that jambonz is not asked. */
async function refusesWrongVerbs(t: Test, app: FastifyInstance, asked: readonly unknown[]): Promise<void> {
  const before = asked.length
  const wrong: unknown[] = [
    [{ verb: 'say', nonsense: 1 }],
    [{ verb: 'listen', maxLength: 'long' }],
    [{ verb: 'listen', url: '/no/audio/route' }],
    [{ verb: 'listen', metadata: { callSid: 'another' } }],
    [{ verb: 'config', stream: { url: '/audio' } }],
    [{ verb: 'listen', wsAuth: { username: 'u'.repeat(60), password: 'p'.repeat(60) } }]
  ]
  for (const verbs of wrong) {
    handed = verbs
    const { code, message } = (
      await app.inject({ method: 'POST', url: '/wrong', payload: { call_sid: 'call-1' } })
    ).json<{ code: string; message: string }>()
    t.match(code, /^FST_JAMBONZ_/)
    await t.rejects(app.jambonz.calls.redirect('call-1', verbs as never), { code, message })
  }
  for (const verbs of ['say', () => [], [1n], 5, { toJSON: () => 'say' }]) {
    await t.rejects(app.jambonz.calls.redirect('call-1', verbs as never), {
      code: 'FST_JAMBONZ_VERB_INVALID'
    })
  }
  t.equal(asked.length, before, 'jambonz is not asked')
}

t.test(
  'calls are created and commanded over the REST API, whose errors do not contain the token',
  async (t) => {
    const asked: Array<{ method: string; url: string; authorization: string | undefined; body: unknown }> = []
    let status = 202
    const server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => (body += String(chunk)))
      request.on('end', () => {
        asked.push({
          method: request.method!,
          url: request.url!,
          authorization: request.headers.authorization,
          body: JSON.parse(body)
        })
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(status < 300 ? { sid: 'new-call' } : { msg: `no, not with sesame` }))
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api`
    const { app } = await serving(
      t,
      (app) => {
        app.jambonz.webhook('/call', async () => [say('hello')])
        app.jambonz.webhook('/wrong', async () => handed as never)
      },
      { api: { baseUrl, accountSid: 'acc', token: 'sesame' } }
    )
    const { calls } = app.jambonz
    await app.inject({ method: 'POST', url: '/call', payload: { call_sid: 'call-1' } })
    t.equal(
      await calls.create({ from: '1', to: { type: 'phone', number: '2' }, call_hook: '/call' }),
      'new-call'
    )
    t.match(await calls.update('new-call', { lead: 5 }), {
      direction: 'outbound',
      from: '1',
      to: '2',
      data: { lead: 5 }
    })
    await calls.hangUp('call-1')
    await calls.mute('call-1', false)
    await calls.redirect('call-1', [say('new')])
    t.strictSame(
      asked.map(({ method, url, body }) => [method, url, body]),
      [
        [
          'POST',
          '/api/v1/Accounts/acc/Calls',
          { from: '1', to: { type: 'phone', number: '2' }, call_hook: '/call' }
        ],
        ['PUT', '/api/v1/Accounts/acc/Calls/call-1', { call_status: 'completed' }],
        ['PUT', '/api/v1/Accounts/acc/Calls/call-1', { mute_status: 'unmute' }],
        ['PUT', '/api/v1/Accounts/acc/Calls/call-1', { call_hook: '/audio/commanded' }]
      ]
    )
    t.ok(asked.every(({ authorization }) => authorization === 'Bearer sesame'))
    const fetched = await app.inject({
      method: 'POST',
      url: '/audio/commanded',
      payload: { call_sid: 'call-1' }
    })
    t.match(fetched.json(), [{ verb: 'say', text: 'new' }])
    const dial = {
      verb: 'dial' as const,
      target: [
        { type: 'sip' as const, sipUri: 'sip:a@b', auth: { username: 'ann', password: 'of a carrier' } }
      ]
    }
    await calls.redirect('call-1', [dial])
    const stored = JSON.stringify(await calls.get('call-1'))
    t.notMatch(stored, 'of a carrier', 'stored verbs are encrypted, because they may contain credentials')
    t.notMatch(stored, 'sip:a@b')
    t.match(
      (await app.inject({ method: 'POST', url: '/audio/commanded', payload: { call_sid: 'call-1' } })).json(),
      [dial]
    )
    t.same(
      (await app.inject({ method: 'POST', url: '/audio/commanded', payload: { call_sid: 'call-2' } })).json(),
      [],
      'the webhook does not give these verbs to another call'
    )
    await t.rejects(calls.redirect('call-1', [say('x')], { queue: true }), {
      code: 'FST_JAMBONZ_NOT_REACHED'
    })
    await refusesWrongVerbs(t, app, asked)
    status = 422
    await t.rejects(calls.hangUp('call-1'), {
      code: 'FST_JAMBONZ_API_REFUSED',
      message: /422: .*no, not with …/
    })
    status = 404
    await t.rejects(calls.hangUp('call-1'), { code: 'FST_JAMBONZ_NOT_REACHED' })
    const away = await build(t, {
      api: { baseUrl: `http://127.0.0.1:${await freePort()}`, accountSid: 'acc', token: 'sesame' }
    })
    await away.ready()
    await t.rejects(
      away.jambonz.calls.create({ from: '1', to: { type: 'user', name: 'ann' }, application_sid: 'x' }),
      {
        code: 'FST_JAMBONZ_API',
        message: /ECONNREFUSED/
      }
    )
  }
)
