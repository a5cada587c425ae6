import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { WebhookResponse } from '@jambonz/sdk/webhook'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import cors from '@fastify/cors'
import jambonzListen, { memoryStore } from '../../lib/index.js'
import { build } from '../helpers/build.js'
import { keepingLogger } from '../helpers/log.js'
import { callWebhook, signature } from '../helpers/payloads.js'
import { basic } from '../helpers/socket.js'
import { signatureHeader } from '../../lib/simulator/index.js'

interface ListenVerb {
  verb: string
  url: string
  actionHook: string
  wsAuth?: object
  metadata: Record<string, unknown>
}

async function post(
  app: FastifyInstance,
  url: string,
  payload: Record<string, unknown> = callWebhook(),
  headers: Record<string, string> = {}
) {
  return await app.inject({ method: 'POST', url, payload, headers })
}

const listen = { verb: 'listen' as const }

t.test('a listen is sent with signed path, wsAuth, actionHook and id', async (t) => {
  const auth = { username: 'jambonz', password: 'pässword' }
  const app = await build(t, { auth })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done', metadata: { tag: 'x' } }])
  app.jambonz.actionHook('/done', async () => [])
  const payload = callWebhook()
  const response = await post(app, '/in', payload)
  t.equal(response.statusCode, 200)
  t.match(response.headers['content-type'], 'application/json')
  const [verb] = response.json<[ListenVerb]>()
  const [, id] = /^\/audio\/([0-9a-f]{32}-[0-9a-f]{16})\.[\w-]{22}$/.exec(verb.url) ?? []
  t.ok(id, 'the path is <audioPath>/<id>.<signature>')
  t.equal(verb.actionHook, `/done?listen=${id}`)
  t.same(verb.wsAuth, auth)
  t.match(verb.metadata, { tag: 'x', jambonzListenId: id })
  const call = await app.jambonz.calls.get(String(payload.call_sid))
  t.match(call, {
    callSid: payload.call_sid,
    from: '+15085551212',
    callStatus: 'trying',
    listens: [{ id, path: '/audio', state: 'expected', connected: false, metadata: { tag: 'x' } }]
  })
  t.throws(
    () => {
      ;(call!.listens as unknown[]).length = 0
    },
    TypeError,
    'a snapshot of the call can not be changed'
  )
})

t.test('a webhook has the prefix and the Fastify hooks of the scope that registers it', async (t) => {
  const app = await build(t, { prefix: '/phone' })
  const seen: string[] = []
  app.register(
    async (child) => {
      child.addHook('onRequest', async (request) => {
        seen.push(request.url)
      })
      child.jambonz.webhook('/in', async function () {
        t.equal(this, child, '`this` is the instance')
        return [{ verb: 'listen', actionHook: '/done', url: '/live' }, listen]
      })
      child.jambonz.actionHook('/done', async function () {
        t.equal(this, child)
      })
      child.jambonz.audio('/live', () => {})
    },
    { prefix: '/app' }
  )
  app.get('/elsewhere', async () => 'plain')
  const [own, builtIn] = (await post(app, '/app/in')).json<[ListenVerb, ListenVerb]>()
  t.match(own.url, /^\/app\/live\/[\w.-]+$/)
  t.match(own.actionHook, /^\/app\/done\?listen=/)
  t.match(builtIn.url, /^\/phone\/audio\/[\w.-]+$/)
  t.match(builtIn.actionHook, /^\/phone\/audio\/ended\?listen=/)
  await app.inject('/elsewhere')
  await post(app, own.actionHook)
  t.same(seen, ['/app/in', own.actionHook])
})

t.test('a handler may return verbs in every documented form', async (t) => {
  const app = await build(t)
  const say = { verb: 'say' as const, text: 'hi' }
  app.jambonz
    .webhook('/array', () => [say])
    .webhook('/one', async () => say)
    .webhook('/named', async () => [{ say: { text: 'hi' } }])
    .webhook('/sdk', async () => new WebhookResponse().say({ text: 'hi' }))
    .webhook('/sent', (request, reply) => {
      reply.send([say])
    })
    .webhook('/sent-later', (request, reply) => {
      setImmediate(() => reply.send([say]))
    })
    .webhook('/async-sent', async (request, reply) => {
      reply.send([say])
    })
    .webhook('/nothing', () => {})
    .webhook('/async-nothing', async () => {})
    .webhook('/null', async () => null)
  for (const path of ['/array', '/one', '/named', '/sdk', '/sent', '/sent-later', '/async-sent']) {
    t.same((await post(app, path)).json(), [say], path)
  }
  for (const path of ['/nothing', '/async-nothing', '/null']) t.same((await post(app, path)).json(), [], path)
})

t.test('if an async handler sends the answer itself, it is sent once, even with a slow store', async (t) => {
  const store = memoryStore()
  const write = store.write.bind(store)
  const { logger, lines } = keepingLogger()
  store.write = async (...args) => {
    await turn()
    return await write(...args)
  }
  const app = await build(t, { store, fastify: { loggerInstance: logger } })
  app.addHook('onSend', async () => {
    await turn()
  })
  app.jambonz.webhook('/in', async (request, reply) => {
    reply.send([listen, { verb: 'hangup' }])
  })
  app.jambonz.webhook('/unknown', async (request, reply) => {
    reply.code(404).send({ error: 'not here' })
  })
  t.match((await post(app, '/in')).json(), [listen, { verb: 'hangup' }])
  t.same((await post(app, '/unknown')).json(), { error: 'not here' })
  await turn()
  t.strictSame(
    lines.filter(({ level }) => level >= 40),
    []
  )
})

t.test('an invalid verb causes an error that names the verb, and the fallback is the answer', async (t) => {
  const logged: string[] = []
  const logger = {
    level: 'error',
    stream: {
      write: (line: string) => {
        logged.push(line)
      }
    }
  }
  const bad = () => [{ verb: 'listen', mixType: 'both' }] as never
  const plain = await build(t, { fastify: { logger } })
  plain.jambonz.webhook('/in', bad)
  const response = await post(plain, '/in')
  t.equal(response.statusCode, 500)
  t.match(response.json(), { code: 'FST_JAMBONZ_VERB_INVALID', message: /mixType.*both.*mono/ })
  t.equal(logged.length, 1, 'the error is logged once')

  const apology = [{ verb: 'say' as const, text: 'sorry' }, listen]
  const careful = await build(t, { fallback: apology, fastify: { logger } })
  careful.jambonz.webhook('/in', bad).webhook('/throws', async () => {
    throw new Error('no database')
  })
  for (const path of ['/in', '/throws']) {
    logged.length = 0
    const answered = await post(careful, path)
    t.equal(answered.statusCode, 200, path)
    t.match(
      answered.json(),
      [
        { verb: 'say', text: 'sorry' },
        { verb: 'listen', url: /^\/audio\// }
      ],
      'a listen in the fallback also gets its url and hook'
    )
    t.equal(logged.length, 1, 'the error is logged once')
  }
})

t.test('an answer after an error has the content type of JSON, whichever step failed', async (t) => {
  const wrong = [{ verb: 'sayy' }] as never
  const failed = new WeakSet<object>()
  const throws = async (request: object) => {
    if (failed.has(request)) return
    failed.add(request)
    throw new Error('hook')
  }
  const failing: Array<[name: string, options: object, handler: (...args: never[]) => unknown]> = [
    ['returned', {}, () => wrong],
    ['resolved', {}, async () => wrong],
    ['an empty object', {}, () => ({})],
    ['no audio route', {}, () => [{ verb: 'listen', url: '/nope' }]],
    ['no credentials', {}, () => [{ ...listen, wsAuth: { username: 'a:b', password: 'c' } }]],
    ['sent', {}, (_request: unknown, reply: { send(v: unknown): void }) => reply.send(wrong)],
    [
      'sent late',
      {},
      (_request: unknown, reply: { send(v: unknown): void }) => {
        setImmediate(() => reply.send(wrong))
      }
    ],
    ['preSerialization', { preSerialization: throws }, () => [listen]],
    ['onSend', { onSend: throws }, () => [listen]]
  ]
  const errorHandler = (_error: Error, _request: unknown, reply: FastifyReply) =>
    reply.code(503).send({ sorry: true })
  for (const fallback of [undefined, [{ verb: 'say' as const, text: 'sorry' }]]) {
    const app = await build(t, { ...(fallback && { fallback }) })
    for (const [at, [, options, handler]] of failing.entries()) {
      app.jambonz.webhook(`/${at}`, { errorHandler, ...options } as never, handler as never)
    }
    for (const [at, [name]] of failing.entries()) {
      const answered = await post(app, `/${at}`)
      t.match(answered.headers['content-type'], /^application\/json/, name)
      t.same(answered.json(), fallback ?? { sorry: true }, name)
    }
  }
})

t.test('if a handler returns text, this is an error, because jambonz would ignore the text', async (t) => {
  const app = await build(t)
  app.jambonz
    .webhook('/text', async () => JSON.stringify([listen]) as never)
    .webhook('/bytes', (() => Buffer.from('[]')) as never)
    .webhook('/refusal', async (request, reply) => {
      reply.code(403)
      return 'no' as never
    })
  t.match((await post(app, '/text')).json(), {
    statusCode: 500,
    code: 'FST_JAMBONZ_VERB_INVALID',
    message: /returned text: return an array/
  })
  t.match((await post(app, '/bytes')).json(), {
    statusCode: 500,
    code: 'FST_JAMBONZ_VERB_INVALID',
    message: /returned bytes/
  })
  const refusal = await post(app, '/refusal')
  t.same([refusal.statusCode, refusal.body], [403, 'no'])
})

t.test('if a handler sends text, this is an error too, and the fallback is the answer', async (t) => {
  for (const fallback of [undefined, [{ verb: 'say' as const, text: 'sorry' }]]) {
    const app = await build(t, { ...(fallback && { fallback }) })
    const sent: Record<string, [(reply: FastifyReply) => unknown, RegExp]> = {
      '/text': [(reply) => reply.send('OK'), /sent text with status 200/],
      '/xml': [(reply) => reply.type('text/xml').send('<Response/>'), /sent text/],
      '/bytes': [(reply) => reply.send(Buffer.from('OK')), /sent bytes/],
      '/stream': [(reply) => reply.send(Readable.from(['OK'])), /sent a stream/]
    }
    for (const [path, [send]] of Object.entries(sent)) {
      app.jambonz.webhook(path, (_request, reply) => {
        send(reply)
      })
      app.jambonz.webhook(`${path}-async`, async (_request, reply) => {
        send(reply)
      })
      app.jambonz.webhook(`${path}-returned`, async (_request, reply) => send(reply) as never)
    }
    for (const [path, [, message]] of Object.entries(sent)) {
      for (const form of [path, `${path}-async`, `${path}-returned`]) {
        const answered = await post(app, form)
        t.match(answered.headers['content-type'], 'application/json', form)
        if (fallback) t.same([answered.statusCode, answered.json()], [200, fallback], form)
        else t.match(answered.json(), { statusCode: 500, code: 'FST_JAMBONZ_VERB_INVALID', message }, form)
      }
    }
  }
})

t.test('an answer that the handler sends with its own content type or status is not changed', async (t) => {
  const app = await build(t)
  const json = JSON.stringify([{ verb: 'hangup' }])
  const sent: Array<[string, (reply: FastifyReply) => unknown, number, string]> = [
    ['/status', (reply) => reply.code(403).send('no'), 403, 'no'],
    ['/accepted', (reply) => reply.code(202).send('later'), 202, 'later'],
    ['/redirect', (reply) => reply.redirect('/elsewhere'), 302, ''],
    ['/empty', (reply) => reply.send(), 200, ''],
    ['/json', (reply) => reply.type('application/json').send(json), 200, json]
  ]
  for (const [path, send] of sent) {
    app.jambonz.webhook(path, (_request, reply) => {
      send(reply)
    })
  }
  app.jambonz.webhook(
    '/own',
    { errorHandler: (_error, _request, reply) => reply.code(200).send('own') },
    () => {
      throw new Error('no database')
    }
  )
  for (const [path, , status, body] of sent) {
    const answered = await post(app, path)
    t.same([answered.statusCode, answered.body], [status, body], path)
  }
  t.same((await post(app, '/own')).body, 'own', 'the answer of an error handler is not changed')
})

t.test('if the fallback is invalid too, the answer is 500', async (t) => {
  const app = await build(t, { fallback: [{ verb: 'listen', url: '/nowhere' }] })
  app.jambonz.webhook('/in', async () => {
    throw new Error('no database')
  })
  t.equal((await post(app, '/in')).statusCode, 500)
})

t.test("the host's error handler sees errors of handlers", async (t) => {
  const app = await build(t)
  app.setErrorHandler((error: Error, request, reply) => {
    reply.code(503).send({ own: error.message })
  })
  app.jambonz.webhook('/in', async () => {
    throw new Error('no database')
  })
  const response = await post(app, '/in')
  t.equal(response.statusCode, 503)
  t.same(response.json(), { own: 'no database' })
})

t.test(
  'the signature of the raw body is checked before the handler runs and the store is written',
  async (t) => {
    const app = await build(t, { webhookSecret: ['new', 'old'] })
    let calls = 0
    app.jambonz.webhook('/in', async () => {
      calls++
      return []
    })
    // JSON.stringify() would write this body differently. The signature matches only these bytes.
    const body = '{ "call_sid" : "c1",\n"from":"\\u00fc" }'
    const send = (headers: Record<string, string>) =>
      app.inject({
        method: 'POST',
        url: '/in',
        body,
        headers: { 'content-type': 'application/json', ...headers }
      })
    t.equal((await send({ 'jambonz-signature': signature(body, 'old') })).statusCode, 200)
    t.equal((await send({ 'jambonz-signature': signature(body, 'new') })).statusCode, 200)
    t.match((await send({})).json(), { statusCode: 401, code: 'FST_JAMBONZ_SIGNATURE_MISSING' })
    t.match((await send({ 'jambonz-signature': signature(body, 'wrong') })).json(), {
      statusCode: 401,
      code: 'FST_JAMBONZ_SIGNATURE_MISMATCH'
    })
    t.match((await send({ 'jambonz-signature': signature(body, 'new', 1_700_000_000) })).json(), {
      statusCode: 401,
      code: 'FST_JAMBONZ_SIGNATURE_STALE'
    })
    t.equal(calls, 2)
    t.equal((await app.jambonz.calls.list()).length, 1)
  }
)

t.test('with webhookAuth, webhooks need Basic credentials', async (t) => {
  const webhookAuth = { username: 'app', password: 'secret' }
  const app = await build(t, { webhookAuth })
  app.jambonz.webhook('/in', async () => [])
  t.equal((await post(app, '/in', callWebhook(), basic('app', 'secret'))).statusCode, 200)
  t.equal((await post(app, '/in', callWebhook(), basic('app', 'wrong'))).statusCode, 401)
  const response = await post(app, '/in')
  t.equal(response.statusCode, 401)
  t.match(response.headers['www-authenticate'], /^Basic/)
})

t.test('payloads that jambonz would never send are refused', async (t) => {
  const app = await build(t)
  app.jambonz.webhook('/in', async () => [])
  t.equal((await post(app, '/in', { from: 'x' })).statusCode, 400, 'without call_sid')
  t.equal(
    (await post(app, '/in', { call_sid: 'x'.repeat(129) })).statusCode,
    400,
    'with a call_sid that is too long'
  )
  t.equal((await app.inject({ method: 'POST', url: '/in' })).statusCode, 400, 'without a body')
  t.equal(
    (
      await app.inject({
        method: 'POST',
        url: '/in',
        body: '{',
        headers: { 'content-type': 'application/json' }
      })
    ).statusCode,
    400,
    'broken JSON'
  )
  t.equal(
    (
      await app.inject({
        method: 'POST',
        url: '/in',
        body: 'a=b',
        headers: { 'content-type': 'application/x-www-form-urlencoded' }
      })
    ).statusCode,
    415
  )
})

t.test('a repeated webhook creates no second call, and gets the same listens', async (t) => {
  const app = await build(t)
  app.jambonz.webhook('/in', async () => [listen, { ...listen, mixType: 'stereo' }])
  const payload = callWebhook()
  const first = (await post(app, '/in', payload)).json()
  const again = (await post(app, '/in', payload)).json()
  t.same(again, first)
  const call = await app.jambonz.calls.get(String(payload.call_sid))
  t.equal(call?.listens.length, 2)
  const later = (await post(app, '/in', { ...payload, call_status: 'in-progress' })).json<ListenVerb[]>()
  t.not(later[0]?.url, first[0].url, 'a later request of the call gets new listens')
})

t.test('env_vars stay on the call, and an unsigned OPTIONS request returns their schema', async (t) => {
  const app = await build(t, { webhookSecret: 's3cret', webhookAuth: { username: 'a', password: 'b' } })
  const env = { GREETING: { type: 'string' as const, description: 'What callers hear', required: true } }
  app.jambonz.webhook('/in', { env }, async ({ call }) => [
    { verb: 'say', text: String(call.envVars?.GREETING) }
  ])
  const options = await app.inject({ method: 'OPTIONS', url: '/in' })
  t.equal(options.statusCode, 200)
  t.same(options.json(), env)

  const signed = (payload: object) => {
    const body = JSON.stringify(payload)
    return app.inject({
      method: 'POST',
      url: '/in',
      body,
      headers: {
        'content-type': 'application/json',
        'jambonz-signature': signature(body, 's3cret'),
        ...basic('a', 'b')
      }
    })
  }
  const payload = callWebhook({ env_vars: { GREETING: 'Ahoj' } })
  t.match((await signed(payload)).json(), [{ text: 'Ahoj' }])
  const { env_vars: _, ...later } = { ...payload, call_status: 'in-progress' } as Record<string, unknown>
  t.match((await signed(later)).json(), [{ text: 'Ahoj' }])
})

t.test("the portal's OPTIONS request is answered, and so are CORS preflights to the host", async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(cors)
  await app.register(jambonzListen)
  const env = { GREETING: { type: 'string' as const, description: 'What callers hear' } }
  app.jambonz.webhook('/in', { env }, async () => [])
  t.same((await app.inject({ method: 'OPTIONS', url: '/in' })).json(), env)
})

t.test('later requests of the call see the data that update() wrote', async (t) => {
  const app = await build(t)
  app.jambonz.webhook('/in', async ({ call }) => {
    await app.jambonz.calls.update(call.callSid, { visits: Number(call.data.visits ?? 0) + 1 })
    return [{ verb: 'say', text: String(call.data.visits ?? 0) }]
  })
  const payload = callWebhook()
  await post(app, '/in', payload)
  t.match((await post(app, '/in', payload)).json(), [{ text: '1' }])
})

t.test('with publicUrl, the urls of sockets are absolute', async (t) => {
  const app = await build(t, { publicUrl: 'https://voice.example.com/' })
  app.jambonz.webhook('/in', async () => [listen])
  t.match((await post(app, '/in')).json(), [{ url: /^wss:\/\/voice\.example\.com\/audio\/[\w.-]+$/ }])
})

t.test('an absolute url of this application names an audio route as a relative url does', async (t) => {
  const app = await build(t, { publicUrl: 'https://voice.example.com/calls' })
  app.jambonz.audio('/live', () => {})
  app.jambonz.webhook('/in', async ({ body }) => [{ verb: 'listen', url: body.to }])
  const urlFor = async (url: string) =>
    (await post(app, '/in', callWebhook({ to: url }), { host: 'pbx.local:3000' })).json<[ListenVerb]>()[0].url
  t.match(
    await urlFor('wss://voice.example.com/calls/live?a=b'),
    /^wss:\/\/voice\.example\.com\/calls\/live\/[\w.-]+\?a=b$/,
    'recognised by the option publicUrl'
  )
  t.match(
    await urlFor('http://pbx.local:3000/live'),
    /^ws:\/\/pbx\.local:3000\/live\/[\w.-]+$/,
    'recognised by the host to which jambonz sent the webhook'
  )
  for (const elsewhere of [
    'ws://pbx.local:3001/live',
    'wss://voice.example.com.evil/calls/live',
    'ws://pbx.local:3000/own-socket'
  ]) {
    t.equal(await urlFor(elsewhere), elsewhere)
  }
})

t.test('a listen to a foreign url is not changed, and a listen to an unknown path is an error', async (t) => {
  const app = await build(t)
  app.jambonz
    .webhook('/elsewhere', async () => [
      { verb: 'listen', url: 'wss://recorder.example.com/a', actionHook: '/x' }
    ])
    .webhook('/unknown', async () => [{ verb: 'listen', url: '/nowhere' }])
  t.same((await post(app, '/elsewhere')).json(), [
    { verb: 'listen', url: 'wss://recorder.example.com/a', actionHook: '/x' }
  ])
  t.match((await post(app, '/unknown')).json(), { statusCode: 500, code: 'FST_JAMBONZ_AUDIO_ROUTE' })
})

t.test('a wrong option causes an error that names the option', async (t) => {
  const rows: Array<[options: object, message: RegExp]> = [
    [{ webhookSecert: 'x' }, /webhookSecert/],
    [{ limits: { maxStreams: 0 } }, /limits\.maxStreams.*0/],
    [{ auth: { username: 'a' } }, /auth\.password/],
    [{ auth: { username: 'a:b', password: 'c' } }, /auth.*colon/i],
    [{ auth: { username: 'a', password: 'x'.repeat(89) } }, /auth.*89/],
    [{ webhookAuth: { username: '', password: 'x' } }, /webhookAuth/],
    [{ audioPath: 'audio' }, /audioPath/],
    [{ publicUrl: 'voice.example.com' }, /publicUrl/],
    [{ secret: 'short' }, /secret: (?!.*short)/],
    [{ store: { get() {} } }, /store: has no start/],
    [{ fallback: [{ verb: 'listen', nope: 1 }] }, /fallback: .*listen\.nope/],
    [{ recording: {} }, /recording/]
  ]
  for (const [options, message] of rows) {
    await t.rejects(
      Promise.resolve(Fastify().register(jambonzListen, options)),
      { message },
      JSON.stringify(options)
    )
  }
})

t.test('a schema of a route removes nothing that the plugin reads', async (t) => {
  const app = await build(t)
  const strict = { additionalProperties: false }
  const say = ({ call }: { call?: { callSid: string } }) => [
    { verb: 'say' as const, text: String(call?.callSid) }
  ]
  app.jambonz
    .webhook('/in', { schema: { body: Type.Object({ speech: Type.String() }, strict) } }, async (request) => {
      t.same(request.body, { speech: 'hello' })
      return [...say(request), { verb: 'listen', actionHook: '/done' }]
    })
    .actionHook(
      '/done',
      { schema: { body: Type.Object({}, strict), querystring: Type.Object({}, strict) } },
      async (request) => {
        t.same([request.body, request.query], [{}, {}])
        return [
          ...say(request),
          { verb: 'tag', data: { listen: request.listen.id, digits: request.listen.digits } }
        ]
      }
    )
  const payload = callWebhook({ speech: 'hello', digits: '#' })
  const [said, verb] = (await post(app, '/in', payload)).json<[unknown, ListenVerb]>()
  t.same(said, { verb: 'say', text: payload.call_sid })
  t.match((await post(app, verb.actionHook, payload)).json(), [
    said,
    { data: { listen: verb.metadata.jambonzListenId, digits: '#' } }
  ])
  t.match((await post(app, '/in', { speech: 'hello' })).json(), {
    statusCode: 400,
    code: 'FST_JAMBONZ_CALL_SID'
  })
})

t.test('the signature of the simulator signs a request of inject()', async (t) => {
  const app = await build(t, { webhookSecret: 'a secret' })
  app.jambonz.webhook('/signed', () => ({ verb: 'hangup' }))
  const ask = (payload: string, secret: string) =>
    app.inject({
      method: 'POST',
      url: '/signed',
      payload,
      headers: { 'content-type': 'application/json', 'jambonz-signature': signatureHeader(payload, secret) }
    })
  t.strictSame((await ask('{"call_sid":"ö"}', 'a secret')).json(), [{ verb: 'hangup' }])
  t.match((await ask('{"call_sid":"ö"}', 'another')).json(), { code: 'FST_JAMBONZ_SIGNATURE_MISMATCH' })
})
