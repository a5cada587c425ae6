import type { ServerResponse } from 'node:http'
import { finished } from 'node:stream/promises'
import t from 'tap'
import { dispatchMessage, MESSAGE_TYPE, MessageConnection } from '../../lib/application/request.js'
import { build } from '../helpers/build.js'
import { callWebhook } from '../helpers/payloads.js'
import { until } from '../helpers/until.js'

const AT = {
  headers: { host: 'voice.example.com' },
  connection: new MessageConnection({ remoteAddress: '192.0.2.7', encrypted: true })
}
const message = (payload: unknown) => ({ msgid: 'abc', payload, seed: Buffer.from(JSON.stringify(payload)) })

t.test(
  "a message runs its hook's route, Fastify hooks and validation included, without signature or password",
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
    t.equal((await app.jambonz.calls.get('c1'))?.listens.length, 1, "the call has the webhook's listen")
  }
)

t.test('if the handler fails, a message is answered with 500, or with the fallback', async (t) => {
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

t.test('no headers and no body make the plugin take an HTTP request for a websocket message', async (t) => {
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

t.test('Fastify hooks see the same headers for a message as for a request over HTTP', async (t) => {
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

t.test('hooks see the connection of the websocket, but cannot write to it', async (t) => {
  const app = await build(t)
  app.jambonz.webhook('/call', async (request, reply) => {
    t.strictSame([request.ip, request.protocol], ['192.0.2.7', 'https'])
    t.equal(reply.raw.socket?.remoteAddress, '192.0.2.7')
    request.raw.socket.write('HTTP/1.1 200 OK')
    return []
  })
  await app.ready()
  const connection = new MessageConnection({ remoteAddress: '192.0.2.7', encrypted: true })
  const answer = await dispatchMessage(app, message(callWebhook({})), { ...AT, url: '/call', connection })
  t.strictSame(answer, { statusCode: 200, body: '[]' })
})

t.test('a handler can write the response to a message as it writes a response of node:http', async (t) => {
  const app = await build(t)
  const emitted: string[] = []
  const failed: unknown[] = []
  const responses: ServerResponse[] = []
  app.jambonz.webhook('/parts', (_request, reply) => {
    const { raw } = reply.hijack()
    responses.push(raw)
    raw.on('finish', () => emitted.push(raw.writableFinished ? 'finish' : 'finish, not finished'))
    raw.on('close', () => emitted.push(raw.closed ? 'close' : 'close, not closed'))
    raw.writeHead(202, { 'content-type': 'application/json' })
    t.throws(() => raw.setHeader('x-late', '1'), { code: 'ERR_HTTP_HEADERS_SENT' })
    t.ok(raw.write('W3sidmVy', 'base64'))
    raw.write(Buffer.from('b":"hangup"}'), () => emitted.push('written'))
    raw.end(']', () => emitted.push('ended'))
    t.ok(raw.writableEnded && raw.headersSent)
    t.equal(
      raw.write('x', (error) => failed.push((error as NodeJS.ErrnoException).code)),
      false
    )
    raw.end('x')
  })
  await app.ready()
  const answer = await dispatchMessage(app, message(callWebhook({})), { ...AT, url: '/parts' })
  t.strictSame(answer, { statusCode: 202, body: '[{"verb":"hangup"}]' })
  await until(() => emitted.includes('close'), 'the close of the response')
  t.strictSame(emitted, ['written', 'finish', 'ended', 'close'])
  t.strictSame(failed, ['ERR_STREAM_WRITE_AFTER_END'])
  await finished(responses[0] as ServerResponse)
})

t.test(
  'if a hook destroys the request of a message, the promise rejects when the response has closed',
  async (t) => {
    const app = await build(t)
    const closed: boolean[] = []
    app.addHook('onRequest', async ({ raw }, reply) => {
      reply.raw.on('close', () => closed.push(reply.raw.writableEnded))
      raw.destroy(new Error('no more'))
    })
    app.jambonz.webhook('/call', async () => [])
    await app.ready()
    await t.rejects(dispatchMessage(app, message(callWebhook({})), { ...AT, url: '/call' }), {
      message: 'no more'
    })
    await until(() => closed.length > 0, 'the close of the response')
  }
)
