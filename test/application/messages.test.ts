import t from 'tap'
import { dispatchMessage, MESSAGE_TYPE } from '../../lib/application/request.js'
import { build } from '../helpers/build.js'
import { callWebhook } from '../helpers/payloads.js'

const AT = { headers: { host: 'voice.example.com' }, remoteAddress: '192.0.2.7' }
const message = (payload: unknown) => ({ msgid: 'abc', payload, seed: Buffer.from(JSON.stringify(payload)) })

t.test(
  'a message runs the route of its url, with hooks and validation, without signature or password',
  async (t) => {
    const app = await build(t, {
      webhookSecret: 'secret of the portal',
      webhookAuth: { username: 'jambonz', password: 'secret' }
    })
    const seen: unknown[] = []
    app.addHook('onSend', async (request, _reply, payload) => {
      seen.push(request.ip)
      return payload
    })
    app.jambonz.webhook('/call/:line', async (request) => {
      seen.push(request.jambonz, request.call.callSid, request.params, request.host, request.body)
      return [{ verb: 'listen' }]
    })
    await app.ready()
    const payload = callWebhook({ call_sid: 'c1' })
    const { statusCode, body } = await dispatchMessage(app, message(payload), { url: '/call/3?x=1', ...AT })
    t.equal(statusCode, 200)
    t.match(JSON.parse(body), [{ verb: 'listen', url: /^\/audio\// }])
    t.same(seen, [
      { transport: 'websocket', msgid: 'abc' },
      'c1',
      { line: '3' },
      'voice.example.com',
      payload,
      '192.0.2.7'
    ])
    t.equal((await app.jambonz.calls.get('c1'))?.listens.length, 1, 'its listen is expected')
  }
)

t.test('a handler that fails answers a message with 500, or the fallback', async (t) => {
  for (const fallback of [undefined, [{ verb: 'hangup' }] as const]) {
    const app = await build(t, { fallback: fallback && [...fallback] })
    app.jambonz.webhook('/call', async () => {
      throw new Error('no')
    })
    await app.ready()
    const answer = await dispatchMessage(app, message(callWebhook({})), { url: '/call', ...AT })
    t.equal(answer.statusCode, fallback ? 200 : 500)
  }
})

t.test('no content of an HTTP request makes it a websocket message', async (t) => {
  const app = await build(t, { webhookAuth: { username: 'jambonz', password: 'secret' } })
  app.jambonz.webhook('/call', async (request) => {
    t.same(request.jambonz, { transport: 'http' })
    return []
  })
  const ask = (authorization?: string) =>
    app.inject({
      method: 'POST',
      url: '/call',
      payload: callWebhook({}),
      headers: {
        'msgid': 'abc',
        'sec-websocket-protocol': 'ws.jambonz.org',
        ...(authorization && { authorization })
      }
    })
  t.equal((await ask()).statusCode, 401)
  t.equal((await ask(`Basic ${Buffer.from('jambonz:secret').toString('base64')}`)).statusCode, 200)
})

t.test('every Fastify hook sees the headers of a message as over HTTP', async (t) => {
  for (const early of [false, true]) {
    const app = await build(t)
    const seen: unknown[] = []
    app.addHook('onRequest', async (request) => {
      if (early) t.equal(request.mediaType, 'application/json')
      seen.push(request.headers['content-type'])
    })
    app.addHook('preParsing', async (request) => {
      seen.push(request.headers['content-type'])
    })
    app.addHook('preValidation', async (request) => {
      seen.push(request.headers['content-type'], request.body)
    })
    app.jambonz.webhook('/call', async (request) => {
      seen.push(request.headers['content-type'], request.body)
      return []
    })
    await app.ready()
    const payload = callWebhook({ call_sid: 'c1' })
    t.equal((await dispatchMessage(app, message(payload), { url: '/call', ...AT })).statusCode, 200)
    const json = 'application/json'
    t.same(seen, [json, json, json, payload, json, payload])
  }
})

t.test('the signature is checked for every content type', async (t) => {
  const app = await build(t, { webhookSecret: 'secret of the portal' })
  const ran: unknown[] = []
  app.jambonz.webhook('/call', async () => {
    ran.push('/call')
    return []
  })
  for (const type of [
    MESSAGE_TYPE,
    'application/json;jambonz=message',
    'APPLICATION/JSON; JAMBONZ=message',
    'application/json; jambonz="message"',
    'application/json; jambonz=message; charset=utf-8',
    'application/json; charset=utf-8; jambonz=message',
    'application/json ; jambonz=message'
  ]) {
    const { statusCode } = await app.inject({
      method: 'POST',
      url: '/call',
      payload: JSON.stringify(callWebhook({})),
      headers: { 'content-type': type }
    })
    t.ok(statusCode === 401 || statusCode === 415, `${type}: ${statusCode}`)
  }
  t.same(ran, [])
})
