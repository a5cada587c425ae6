import { once } from 'node:events'
import t from 'tap'
import { memoryStore } from '../../lib/index.js'
import { build } from '../helpers/build.js'
import { hurry } from '../helpers/hurry.js'
import { keepingLogger } from '../helpers/log.js'
import { callWebhook } from '../helpers/payloads.js'

t.test('status events update the calls of both legs, and each call ends once', async (t) => {
  const app = await build(t)
  const seen: string[] = []
  const ended: string[] = []
  app.jambonz.statusHook('/status', async ({ call, body }) => {
    seen.push(`${call.callSid} ${body.call_status}`)
  })
  app.jambonz.calls.events.on('callEnded', ({ callSid }) => {
    ended.push(callSid)
  })
  const status = async (payload: object) => {
    const response = await app.inject({
      method: 'POST',
      url: '/status',
      payload: callWebhook({ ...payload })
    })
    t.equal(response.statusCode, 204)
  }
  await status({ call_sid: 'a', call_status: 'in-progress' })
  await status({ call_sid: 'b', parent_call_sid: 'a', direction: 'outbound', call_status: 'ringing' })
  t.match(await app.jambonz.calls.get('b'), {
    parentCallSid: 'a',
    direction: 'outbound',
    callStatus: 'ringing'
  })
  await status({
    call_sid: 'b',
    parent_call_sid: 'a',
    direction: 'outbound',
    call_status: 'completed',
    duration: 3
  })
  await status({ call_sid: 'a', call_status: 'completed', duration: 4, call_termination_by: 'caller' })
  await status({ call_sid: 'a', call_status: 'completed', duration: 4 })
  await status({ call_sid: 'a', call_status: 'in-progress' })
  t.match(
    await app.jambonz.calls.get('a'),
    { callStatus: 'completed', endedAt: String },
    'a late event does not revive a call'
  )
  t.same(ended, ['b', 'a'])
  t.equal(seen.length, 6)
})

t.test(
  'if the caller hangs up before a listen begins, the listen ends, and is neither warned of nor alerted',
  async (t) => {
    const { logger, said } = keepingLogger()
    const app = await build(t, { store: hurry(memoryStore()), fastify: { loggerInstance: logger } })
    app.jambonz.webhook('/call', async () => [
      { verb: 'say', text: 'Leave a message after the beep.' },
      { verb: 'listen', actionHook: '/done' }
    ])
    app.jambonz.statusHook('/status')
    const post = async (url: string, payload: object) =>
      await app.inject({ method: 'POST', url, payload: callWebhook({ call_sid: 'a', ...payload }) })
    await post('/call', {})
    const ended = once(app.jambonz.calls.events, 'listenEnded')
    await post('/status', { call_status: 'completed', duration: 2 })
    const [listen, call] = await ended
    t.match(listen, { state: 'ended', endReason: 'notConnected', connected: false, endedAt: call.endedAt })
    t.match(app.jambonz.metrics(), 'jambonz_listens_ended_total{reason="notBegun"} 1')
    t.match(app.jambonz.metrics(), 'jambonz_listens_ended_total{reason="notConnected"} 0')
    t.equal(said('the call ended before the listen began').length, 1)
    t.equal(said('listen ended before its socket came').length, 0)
  }
)

t.test('a status hook needs no handler', async (t) => {
  const app = await build(t)
  app.jambonz.statusHook('/status')
  const response = await app.inject({
    method: 'POST',
    url: '/status',
    payload: callWebhook({ call_sid: 'a' })
  })
  t.equal(response.statusCode, 204)
  t.match(await app.jambonz.calls.list(), [{ callSid: 'a', callStatus: 'trying' }])
})

t.test('an event listener that throws affects no call', async (t) => {
  const app = await build(t)
  app.jambonz.statusHook('/status')
  app.jambonz.calls.events.on('call', () => {
    throw new Error('mine')
  })
  const response = await app.inject({ method: 'POST', url: '/status', payload: callWebhook() })
  t.equal(response.statusCode, 204)
})

t.test("metrics count calls and streams in Prometheus' format", async (t) => {
  const app = await build(t)
  app.jambonz.statusHook('/status')
  await app.inject({ method: 'POST', url: '/status', payload: callWebhook({ call_status: 'completed' }) })
  const text = app.jambonz.metrics()
  t.match(text, /^jambonz_calls_total 1$/m)
  t.match(text, /^jambonz_calls_ended_total 1$/m)
  t.match(text, /^# TYPE jambonz_streams_live gauge\njambonz_streams_live 0$/m)
})

t.test(
  'a failed status hook of a dialled leg is answered with 204, since jambonz would crash over an error',
  async (t) => {
    const lines: string[] = []
    const app = await build(t, {
      fastify: { logger: { level: 'warn', stream: { write: (line) => lines.push(line) } } }
    })
    const reported: string[] = []
    app.addHook('onError', async (_request, _reply, error) => {
      reported.push(error.message)
    })
    app.jambonz.statusHook('/throws', async () => {
      throw new Error('mine')
    })
    app.jambonz.statusHook('/moved', async (_request, reply) => await reply.redirect('/elsewhere'))
    app.jambonz.statusHook('/text', async (_request, reply) => await reply.send('thanks'))
    const dialled = callWebhook({ call_sid: 'b', parent_call_sid: 'a' })
    const post = async (url: string, payload: object = dialled) =>
      await app.inject({ method: 'POST', url, payload })
    for (const path of ['/throws', '/moved']) {
      const { statusCode, body, headers } = await post(path)
      t.match({ statusCode, body }, { statusCode: 204, body: '' }, path)
      t.notOk(headers['content-type'] ?? headers['content-length'])
    }
    t.same(reported, ['mine'], 'hooks of the application get the error')
    t.match(lines.join(''), /"statusCode":500.*the status hook of a dialled leg failed/)
    t.match(await app.jambonz.metrics(), /jambonz_requests_total\{kind="statusHook",outcome="failed"\} 2/)
    t.match(await post('/text'), { statusCode: 200, body: 'thanks' })
    t.equal((await post('/throws', { call_status: 'ringing' })).statusCode, 400, 'no request of jambonz')
    t.equal(
      (await post('/throws', callWebhook({ call_sid: 'a' }))).statusCode,
      500,
      "an event of the caller's leg"
    )
  }
)
