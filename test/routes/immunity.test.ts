import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import jambonzListen, { type JambonzListenOptions } from '../../lib/index.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, folder } from '../helpers/build.js'
import { callWebhook, signature } from '../helpers/payloads.js'

/** Makes a call to an application that `prepare` changes first. Checks that the call works. */
async function takesCall(
  t: Test,
  fastify: FastifyServerOptions,
  prepare: (app: FastifyInstance) => unknown
): Promise<void> {
  const app = Fastify(fastify)
  t.teardown(() => app.close())
  await prepare(app)
  await app.register(jambonzListen, { recording: { directory: folder() } })
  const bodies: unknown[] = []
  app.jambonz.webhook('/call', async ({ body }) => {
    bodies.push(body)
    return [
      { verb: 'gather', input: ['digits'], actionHook: '/gathered', numDigits: 1 },
      { verb: 'listen', actionHook: '/done', maxLength: 1 }
    ]
  })
  app.jambonz.actionHook('/gathered', async ({ listen }) => {
    t.equal(listen, undefined, 'the hook of a gather is not taken for the hook of a listen')
  })
  let recorded = 0
  app.jambonz.actionHook('/done', async ({ listen }) => {
    recorded = listen.recording?.durationMs ?? 0
  })
  app.jambonz.statusHook('/status')
  const story = await simulateCall({ app, hook: '/call', statusHook: '/status', press: '5' })
  t.same(story.errors, [])
  t.ok(recorded > 0, 'the call is recorded')
  t.match(bodies[0], { sip: Object, defaults: Object }, 'the handler sees the whole payload')
  t.equal((await app.jambonz.calls.get(story.callSid))?.callStatus, 'completed')
}

const hosts: Record<string, [FastifyServerOptions, (app: FastifyInstance) => unknown]> = {
  'a validator compiler of another kind of schema': [
    {},
    (app) =>
      app.setValidatorCompiler(({ schema }) => {
        if (!('safeParse' in (schema as object))) throw new Error('no zod schema')
        return () => true
      })
  ],
  'a serializer compiler of another kind of schema': [
    {},
    (app) =>
      app.setSerializerCompiler(({ schema }) => {
        if (!('safeParse' in (schema as object))) throw new Error('no zod schema')
        return (data) => JSON.stringify(data)
      })
  ],
  'a reply serializer': [{}, (app) => app.setReplySerializer(() => 'not jambonz')],
  "ajv's removeAdditional": [{ ajv: { customOptions: { removeAdditional: 'all' } } }, () => {}],
  'ajv without coercion': [{ ajv: { customOptions: { coerceTypes: false, allErrors: true } } }, () => {}],
  'ajv with coercion to arrays': [
    { ajv: { customOptions: { coerceTypes: 'array', useDefaults: true } } },
    () => {}
  ],
  'a body limit of 1 KiB': [{ bodyLimit: 1_024 }, () => {}],
  'content type parsers of the application': [
    {},
    (app) => {
      app.removeAllContentTypeParsers()
      app.addContentTypeParser('*', (_request, _payload, done) => done(new Error('nothing is read')))
    }
  ],
  'router options for case, slashes and long parameters': [
    { routerOptions: { caseSensitive: false, ignoreTrailingSlash: true, maxParamLength: 20 } },
    () => {}
  ],
  'an error handler and a schema error formatter': [
    { schemaErrorFormatter: () => new Error('formatted') },
    (app) => app.setErrorHandler(async () => ({ wrong: true }))
  ],
  'hooks that freeze body and query': [
    {},
    (app) => {
      app.addHook('preValidation', async ({ body }) => {
        if (body) Object.freeze(body)
      })
    }
  ]
}

for (const [name, [options, prepare]] of Object.entries(hosts)) {
  t.test(`a call is taken in a host with ${name}`, (t) => takesCall(t, options, prepare))
}

t.test("the application's compiler checks the application's schemas on routes of the plugin", async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const checked: unknown[] = []
  app.setValidatorCompiler<{ ours?: string }>(({ schema }) => (data) => {
    checked.push(schema.ours)
    return (data as { bad?: unknown }).bad === undefined ? { value: data } : { error: new Error('bad') }
  })
  await app.register(jambonzListen)
  const parts = ['body', 'querystring', 'headers', 'params'] as const
  for (const part of parts) {
    app.jambonz.webhook(`/${part}`, { schema: { [part]: { ours: part } } as object }, async () => [
      { verb: 'hangup' }
    ])
  }
  for (const part of parts) {
    const good = await app.inject({ method: 'POST', url: `/${part}`, payload: callWebhook() })
    t.equal(good.statusCode, 200, part)
    t.equal(checked.at(-1), part)
  }
  for (const url of ['/body', '/querystring?bad=1']) {
    const bad = await app.inject({ method: 'POST', url, payload: callWebhook({ bad: 1 }) })
    t.equal(bad.statusCode, 400, url)
  }
})

t.test(
  'a route schema that removes properties does not affect the call, even if the body begins with a BOM',
  async (t) => {
    const app = await build(t, { webhookSecret: 'secret of the portal' })
    app.jambonz.webhook(
      '/call',
      { schema: { body: Type.Object({ from: Type.String() }, { additionalProperties: false }) } },
      async ({ body, call }) => [{ verb: 'say', text: `${Object.keys(body).join()} ${call.direction}` }]
    )
    for (const mark of ['', '\uFEFF']) {
      const payload = mark + JSON.stringify(callWebhook())
      const response = await app.inject({
        method: 'POST',
        url: '/call',
        payload,
        headers: {
          'content-type': 'application/json; charset=utf-8',
          'jambonz-signature': signature(payload, 'secret of the portal')
        }
      })
      t.same(response.json(), [{ verb: 'say', text: 'from inbound' }])
    }
  }
)

const ODD: unknown[] = [
  null,
  '',
  0,
  -1,
  1.5,
  '100',
  true,
  [],
  ['x'],
  {},
  { a: { b: null } },
  'ä'.repeat(5_000)
]

t.test('a payload needs a call_sid, and its other fields are kept unchanged', async (t) => {
  const app = await build(t)
  const seen: unknown[] = []
  app.jambonz.webhook('/call', async ({ body }) => {
    seen.push(body)
  })
  app.jambonz.actionHook('/done', async ({ body }) => {
    seen.push(body)
  })
  app.jambonz.statusHook('/status', ({ body }) => {
    seen.push(body)
  })
  const fields = Object.keys({
    ...callWebhook(),
    env_vars: 1,
    digits: 1,
    dial_call_duration: 1,
    verb_id: 1,
    duration: 1
  })
  let refused = 0
  for (const name of fields.filter((field) => field !== 'call_sid')) {
    for (const value of ODD) {
      for (const url of ['/call', '/done', '/status']) {
        const payload = callWebhook({ [name]: value })
        const { statusCode } = await app.inject({ method: 'POST', url, payload })
        if (statusCode >= 300) refused++
        t.same((seen.at(-1) as Record<string, unknown>)[name], value)
        const call = await app.jambonz.calls.get(String(payload.call_sid))
        if (call === undefined) refused++
        for (const field of ['from', 'to', 'direction', 'callStatus', 'accountSid'] as const) {
          if (!['string', 'undefined'].includes(typeof call?.[field])) refused++
        }
      }
    }
  }
  t.equal(refused, 0)
})

t.test('a payload without a valid call_sid is refused with 400', async (t) => {
  const app = await build(t)
  app.jambonz.webhook('/call', async () => [])
  app.jambonz.actionHook('/done', async () => [])
  app.jambonz.statusHook('/status')
  for (const url of ['/call', '/done', '/status']) {
    for (const payload of [
      {},
      [],
      'null',
      '1',
      { call_sid: 1 },
      { call_sid: '' },
      { call_sid: null },
      { call_sid: 'ä'.repeat(65) }
    ]) {
      const response = await app.inject({
        method: 'POST',
        url,
        payload,
        headers: { 'content-type': 'application/json' }
      })
      t.equal(response.statusCode, 400, `${url} ${JSON.stringify(payload)}`)
    }
  }
})

t.test(
  'a webhook with method GET is served; the query names the call, or the call stays unnamed',
  async (t) => {
    const app = await build(t, { recording: { directory: folder() } })
    const seen: unknown[] = []
    app.jambonz.webhook('/call', async ({ call, body }) => {
      seen.push(call.callSid, body.from)
      return [{ verb: 'listen', actionHook: '/done', maxLength: 1 }]
    })
    app.jambonz.actionHook('/done', async ({ listen }) => {
      seen.push(listen.connected, listen.recording !== undefined)
    })
    await app.inject({ method: 'GET', url: '/call?call_sid=c1&from=%2B1508' })
    t.same(seen.splice(0), ['c1', '+1508'])
    const story = await simulateCall({ app, hook: '/call', webhookMethod: 'GET' })
    t.same(story.errors, [])
    t.match(seen, [/^get-/, undefined, true, true])
    t.equal((await app.inject({ method: 'HEAD', url: '/call' })).statusCode, 404)
  }
)

t.test(
  'a GET webhook is refused if signatures are required, and does not replace a page of the host',
  async (t) => {
    const signed = await build(t, { webhookSecret: 'secret of the portal' })
    signed.jambonz.webhook('/call', async () => {
      t.fail('the handler ran')
    })
    const response = await signed.inject({ method: 'GET', url: '/call?call_sid=c1' })
    t.equal(response.statusCode, 401)
    t.equal(response.json<{ code: string }>().code, 'FST_JAMBONZ_SIGNATURE_GET')
    const app = await build(t)
    app.jambonz.webhook('/', async () => [])
    app.get('/', async () => 'a page')
    t.equal((await app.inject('/')).body, 'a page')
  }
)

t.test('any thrown value is handled as an error', async (t) => {
  const thrown = [
    'text',
    '',
    undefined,
    null,
    0,
    42,
    { verb: 'hangup' },
    [{ verb: 'hangup' }],
    Symbol('x'),
    1n
  ]
  const options: JambonzListenOptions[] = [{}, { fallback: [{ verb: 'hangup' }] }]
  for (const option of options) {
    const app = await build(t, option)
    thrown.forEach((value, at) => {
      app.jambonz.webhook(`/async/${at}`, async () => {
        throw value
      })
      app.jambonz.webhook(`/sync/${at}`, () => {
        throw value
      })
      app.jambonz.webhook(
        `/hook/${at}`,
        {
          preHandler: async () => {
            throw value
          }
        },
        async () => []
      )
      app.jambonz.statusHook(`/status/${at}`, () => {
        throw value
      })
    })
    for (const [at, value] of thrown.entries()) {
      for (const kind of ['async', 'sync', 'hook', 'status']) {
        const response = await app.inject({ method: 'POST', url: `/${kind}/${at}`, payload: callWebhook() })
        // If a hook rejects with undefined, null, '' or 0, Fastify answers with an error of its own, whatever
        // the plugin does.
        if (kind === 'hook' && (value === undefined || value === null || value === '' || value === 0)) {
          t.equal(response.statusCode, 500, `hook: ${String(value)}`)
          t.equal(response.json<{ code: string }>().code, 'FST_ERR_SEND_UNDEFINED_ERR')
          continue
        }
        const says = `${kind}: ${String(value)}`
        if (option.fallback && kind !== 'status' && kind !== 'hook') {
          t.same(response.json(), option.fallback, says)
        } else {
          t.equal(response.statusCode, 500, says)
          t.equal(response.json<{ code: string }>().code, 'FST_JAMBONZ_HANDLER_THREW', says)
        }
      }
    }
  }
})
