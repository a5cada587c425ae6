import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { Writable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { expose } from '../../lib/metrics/instruments.js'
import { METRICS } from '../../lib/metrics/Metrics.js'
import { Hmac, signHookKey } from '../../lib/model/tokens.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { callWebhook } from '../helpers/payloads.js'
import { basic, statusOf } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

const SECRET = 'a secret that only this test knows'

/** Returns the value of one line of the metrics, as Prometheus would read it. */
function read(app: FastifyInstance, line: string): number | undefined {
  const found = app.jambonz
    .metrics()
    .split('\n')
    .find((each) => each.startsWith(`${line} `))
  return found === undefined ? undefined : Number(found.slice(line.length + 1))
}

/**
 * Waits until a line has the value. A response is counted when it closes, and the client has the answer
 * before that.
 */
async function reads(app: FastifyInstance, line: string, value: number): Promise<void> {
  await until(() => read(app, line) === value, `${line} ${value}`).catch((err: Error) => {
    throw new Error(`${err.message}\n${app.jambonz.metrics()}`)
  })
}

t.test('every metric of the table is exported from the start, with 0 for each known label', async (t) => {
  const app = await build(t)
  const text = app.jambonz.metrics()
  for (const { name, type, help, labels } of Object.values(METRICS)) {
    t.ok(text.includes(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}`), name)
    t.match(
      name,
      type === 'counter' ? /^jambonz_[a-z_]+_total$/ : /^jambonz_[a-z_]+(?<!_total)$/,
      'named as Prometheus names'
    )
    for (const [label, values] of Object.entries(labels)) {
      for (const value of values) {
        t.match(text, new RegExp(`^${name}\\{[^}]*${label}="${value}"[^}]*\\} 0$`, 'm'))
      }
    }
  }
  t.equal(read(app, 'jambonz_listens_ended_total{reason="notConnected"}'), 0)
  t.equal(read(app, 'jambonz_hook_wait_seconds_bucket{le="+Inf"}'), 0)
  t.equal(read(app, 'jambonz_store_available'), 1)
  t.equal(read(app, 'jambonz_draining'), 0)
})

t.test('a call is counted from its webhook to its last status event', async (t) => {
  const app = await build(t, { recording: { directory: folder() } })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
  app.jambonz.actionHook('/done', async () => [])
  app.jambonz.statusHook('/status')
  const asked = await askForListen(app, '/in')
  const socket = await asked.open()
  socket.send(asked.metadata())
  socket.send(ramp(1_500))
  await reads(app, 'jambonz_streams_total', 1)
  t.equal(read(app, 'jambonz_streams_live'), 1)
  t.equal(read(app, 'jambonz_requests_total{kind="audio",outcome="answered"}'), 1)
  const ended = once(app.jambonz.calls.events, 'listenEnded')
  socket.close(1000)
  await ended
  await asked.hook({ dial_call_duration: 2 })
  await app.inject({
    method: 'POST',
    url: '/status',
    payload: callWebhook({ call_sid: asked.callSid, call_status: 'completed' })
  })
  await reads(app, 'jambonz_requests_total{kind="statusHook",outcome="answered"}', 1)

  for (const [line, value] of Object.entries({
    'jambonz_calls_total': 1,
    'jambonz_calls_ended_total': 1,
    'jambonz_requests_total{kind="webhook",outcome="answered"}': 1,
    'jambonz_requests_total{kind="actionHook",outcome="answered"}': 1,
    'jambonz_streams_live': 0,
    'jambonz_listens_ended_total{reason="closed"}': 1,
    'jambonz_listen_duration_seconds_bucket{le="1"}': 0,
    'jambonz_listen_duration_seconds_bucket{le="5"}': 1,
    'jambonz_listen_duration_seconds_bucket{le="+Inf"}': 1,
    'jambonz_listen_duration_seconds_sum': 1.5,
    'jambonz_listen_duration_seconds_count': 1,
    'jambonz_audio_frames_total': 1,
    'jambonz_audio_bytes_total': 24_000,
    'jambonz_recordings_total{outcome="saved"}': 1,
    'jambonz_recording_bytes_total': 24_080,
    'jambonz_recording_seconds_total': 1.5,
    'jambonz_recording_memory_bytes': 0,
    'jambonz_hook_wait_seconds_count': 1,
    'jambonz_hooks_unfinished_total': 0
  })) {
    t.equal(read(app, line), value, line)
  }
})

t.test('each kind of failure has its own metric', async (t) => {
  const auth = { username: 'jambonz', password: 'secret' }
  const sink = () =>
    new Writable({
      write(_chunk, _encoding, done) {
        done(new Error('the shelf is full'))
      }
    })
  const app = await build(t, { secret: SECRET, auth, recording: { sink, flushInterval: 50 } })
  let answer = (): void => {}
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
  app.jambonz.webhook('/wrong', async () => [{ verb: 'play' }] as never)
  app.jambonz.webhook('/broken', async () => {
    throw new Error('mine')
  })
  app.jambonz.webhook(
    '/slow',
    () =>
      new Promise<void>((resolve) => {
        answer = resolve
      })
  )
  app.jambonz.actionHook('/done', async () => [])
  const base = await listening(app)
  const headers = basic(auth.username, auth.password)
  const post = (url: string, payload: object = callWebhook()) => app.inject({ method: 'POST', url, payload })

  t.test('handlers that throw, and invalid verbs, are counted as failed', async (t) => {
    t.equal((await post('/wrong')).statusCode, 500)
    t.equal((await post('/broken')).statusCode, 500)
    await reads(app, 'jambonz_requests_total{kind="webhook",outcome="failed"}', 2)
    t.equal(read(app, 'jambonz_errors_total{code="FST_JAMBONZ_VERB_INVALID"}'), 1)
    t.equal(read(app, 'jambonz_errors_total{code="other"}'), 1)
  })

  t.test('requests that are refused are counted', async (t) => {
    t.equal((await post('/in', { hello: 'world' })).statusCode, 400)
    await reads(app, 'jambonz_requests_total{kind="webhook",outcome="refused"}', 1)
    const get = (url: string) => app.inject({ method: 'GET', url })
    t.equal((await get('/done?listen=nobody')).statusCode, 404)
    await reads(app, 'jambonz_requests_total{kind="actionHook",outcome="refused"}', 1)
    t.equal(read(app, 'jambonz_errors_total{code="FST_JAMBONZ_HOOK_KEY"}'), 1)
    const key = signHookKey(new Hmac(SECRET), 'nobody')
    t.equal((await get(`/done?listen=nobody&key=${key}`)).statusCode, 404)
    await reads(app, 'jambonz_requests_total{kind="actionHook",outcome="refused"}', 2)
    t.equal(read(app, 'jambonz_errors_total{code="FST_JAMBONZ_UNKNOWN_LISTEN"}'), 1)
  })

  t.test('a connection that jambonz closes before the answer is counted', async () => {
    const request = httpRequest(`${base}/slow`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' }
    })
    request.on('error', () => {})
    app.jambonz.calls.events.once('call', () => {
      setImmediate(() => request.destroy())
    })
    request.end(JSON.stringify(callWebhook()))
    await reads(app, 'jambonz_requests_total{kind="webhook",outcome="aborted"}', 1)
    answer()
  })

  t.test('sockets that are refused are counted', async (t) => {
    const asked = await askForListen(app, '/in', base)
    t.equal(await statusOf(asked.url, { headers: basic(auth.username, 'another') }), 401)
    t.equal(read(app, 'jambonz_requests_total{kind="audio",outcome="refused"}'), 1)
    t.equal(read(app, 'jambonz_errors_total{code="FST_JAMBONZ_AUDIO_AUTH"}'), 1)
  })

  t.test('an actionHook without a socket is counted', async () => {
    const asked = await askForListen(app, '/in', base)
    await asked.hook()
    await reads(app, 'jambonz_listens_ended_total{reason="notConnected"}', 1)
  })

  t.test('a failed recording and a broken connection are counted', async (t) => {
    const asked = await askForListen(app, '/in', base)
    const socket = await asked.open({ headers })
    socket.send(asked.metadata())
    socket.send(ramp(200))
    await reads(app, 'jambonz_recordings_total{outcome="failed"}', 1)
    socket.terminate()
    await reads(app, 'jambonz_listens_ended_total{reason="lost"}', 1)
    t.equal(read(app, 'jambonz_recordings_total{outcome="saved"}'), 0)
  })

  t.test('an actionHook handler that runs before the audio is complete is counted', async (t) => {
    const asked = await askForListen(app, '/in', base)
    const socket = await asked.open({ headers })
    socket.send(asked.metadata())
    await reads(app, 'jambonz_streams_total', 2)
    await asked.hook({ dial_call_duration: 1 })
    t.equal(read(app, 'jambonz_hooks_unfinished_total'), 1)
    t.equal(
      read(app, 'jambonz_hook_wait_seconds_bucket{le="2.5"}'),
      1,
      'only the hook without a socket waited'
    )
    socket.close(1000)
  })
})

t.test('answers with fallback verbs are counted under their own outcome', async (t) => {
  const app = await build(t, { fallback: [{ verb: 'hangup' }] })
  app.jambonz.webhook('/broken', async () => {
    throw new Error('mine')
  })
  t.equal((await app.inject({ method: 'POST', url: '/broken', payload: callWebhook() })).statusCode, 200)
  await reads(app, 'jambonz_requests_total{kind="webhook",outcome="fallback"}', 1)
  t.equal(read(app, 'jambonz_errors_total{code="other"}'), 1)
})

t.test('a label may hold any text', async (t) => {
  t.equal(
    expose(METRICS.errors, [{ labels: { code: 'a "b"\\c\nd' }, value: 1 }]).split('\n')[2],
    'jambonz_errors_total{code="a \\"b\\"\\\\c\\nd"} 1'
  )
})

t.test(
  'application websockets are counted, with their messages by type and their requests as over HTTP',
  async (t) => {
    const app = await build(t, { webhookAuth: { username: 'web', password: 'hook' } })
    app.jambonz.webhook('/call', async () => [{ verb: 'hangup' }])
    app.jambonz.webhook('/failing', async () => {
      throw new Error('no')
    })
    app.jambonz.statusHook('/status')
    const url = await listening(app)
    await t.rejects(JambonzSocket.open(t, `${url}/call`), { message: '401' })
    const first = await JambonzSocket.open(t, `${url}/call`, { auth: 'web:hook' })
    await first.ask('session:new')
    t.equal(read(app, 'jambonz_application_sockets_live'), 1)
    first.drop()
    await reads(app, 'jambonz_application_sockets_live', 0)
    const again = await JambonzSocket.open(t, `${url}/call`, { auth: 'web:hook' })
    await again.ask('session:reconnect')
    again.send('call:status', { call_status: 'in-progress' })
    again.send('verb:status', {})
    again.send('something:new', {})
    await again.ask('verb:hook', {}, { hook: '/failing' })
    for (const [line, value] of Object.entries({
      'jambonz_requests_total{kind="application",outcome="answered"}': 2,
      'jambonz_requests_total{kind="application",outcome="refused"}': 1,
      'jambonz_requests_total{kind="webhook",outcome="answered"}': 1,
      'jambonz_requests_total{kind="webhook",outcome="failed"}': 1,
      'jambonz_requests_total{kind="statusHook",outcome="answered"}': 1,
      'jambonz_errors_total{code="FST_BASIC_AUTH_MISSING_OR_BAD_AUTHORIZATION_HEADER"}': 1,
      'jambonz_application_messages_total{type="session:new"}': 1,
      'jambonz_application_messages_total{type="session:reconnect"}': 1,
      'jambonz_application_messages_total{type="verb:hook"}': 1,
      'jambonz_application_messages_total{type="call:status"}': 1,
      'jambonz_application_messages_total{type="verb:status"}': 1,
      'jambonz_application_messages_total{type="other"}': 1,
      'jambonz_application_sockets_live': 1
    })) {
      await reads(app, line, value)
    }
  }
)
