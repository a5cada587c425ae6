import type { StoredListen } from '../../lib/model/schema.js'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { Writable } from 'node:stream'
import { setImmediate as tick } from 'node:timers/promises'
import { SpanKind, trace } from '@opentelemetry/api'
import { Redis } from 'ioredis'
import t from 'tap'
import { redisStore } from '../../lib/store/redis.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { readB3, writeB3 } from '../../lib/tracing/OpenTelemetry.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { callWebhook } from '../helpers/payloads.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { openSocket } from '../helpers/socket.js'
import { recordSpans } from '../helpers/spans.js'

const TRACE = '80f198ee56343ba864fe8b2a57d3eff7'
const SPAN = 'e457b5a2e4d86bd1'
const B3 = `${TRACE}-${SPAN}-1`

const spans = recordSpans()
const tracer = trace.getTracer('the application')
t.beforeEach(() => spans.reset())

t.test('the b3 header is parsed', async (t) => {
  const sampled = { traceId: TRACE, spanId: SPAN, sampled: true }
  t.same(readB3(B3), sampled, 'the form that jambonz sends')
  t.same(readB3(`${TRACE}-${SPAN}-d`), sampled, 'debug')
  t.same(readB3(`${TRACE}-${SPAN}-0`), { ...sampled, sampled: false })
  t.same(readB3(`${TRACE}-${SPAN}`), sampled, 'without a sampling decision')
  t.same(readB3(`${TRACE}-${SPAN}-1-05e3ac9a4f6e3b90`), sampled, 'with a parent span')
  t.same(
    readB3(`${TRACE}-${SPAN}-05e3ac9a4f6e3b90`),
    sampled,
    'with a parent span, without a sampling decision'
  )
  t.same(readB3(B3.toUpperCase().replace('-D', '-d')), sampled)
  t.same(
    readB3(`64fe8b2a57d3eff7-${SPAN}-1`),
    { ...sampled, traceId: '000000000000000064fe8b2a57d3eff7' },
    'a trace id of 64 bits'
  )
  t.equal(readB3('0'), 'denied')
  for (const garbage of [
    undefined,
    '',
    '1',
    'd',
    [B3],
    `${B3}, ${B3}`,
    `${TRACE}-${SPAN}-2`,
    `${TRACE}${SPAN}`,
    `${TRACE}-${SPAN}-`,
    `${'0'.repeat(32)}-${SPAN}-1`,
    `${TRACE}-${'0'.repeat(16)}-1`,
    ` ${B3}`,
    'x'.repeat(10_000)
  ]) {
    t.equal(readB3(garbage), undefined)
  }
  t.equal(writeB3(TRACE, SPAN, true), B3)
})

t.test(
  "a call is one trace, from its webhook to its last status event, with the application's own spans inside",
  async (t) => {
    const app = await build(t, { recording: { directory: folder() } })
    let traceId: unknown
    const working = async (name: string): Promise<void> => {
      await tick()
      tracer.startActiveSpan(name, (span) => span.end())
    }
    app.jambonz.webhook('/in', { preHandler: () => working('preHandler') }, async ({ body, headers }) => {
      traceId = body.trace_id
      t.match(headers.b3, new RegExp(`^${body.trace_id}-[0-9a-f]{16}-1$`))
      await working('webhook work')
      return [{ verb: 'listen', actionHook: '/done', url: '/audio/own' }, { verb: 'hangup' }]
    })
    app.jambonz.audio('/audio/own', async (stream) => {
      let bytes = 0
      for await (const audio of stream) bytes += (audio as Buffer).length
      tracer.startActiveSpan('audio work', (span) => span.setAttribute('bytes', bytes).end())
    })
    app.jambonz.actionHook('/done', () => working('hook work'))
    app.jambonz.statusHook('/status', () => working('status work'))
    const base = await listening(app)
    const story = await simulateCall({ url: `${base}/in`, statusHook: '/status' })
    t.same(story.errors, [])
    const [webhook, listen, hook, status] = [
      await spans.named('webhook /in'),
      await spans.named('listen /audio/own'),
      await spans.named('actionHook /done'),
      await spans.named(
        'statusHook /status',
        ({ attributes }) => attributes['jambonz.call_status'] === 'completed'
      )
    ]
    for (const span of spans.ended) t.equal(span.traceId, traceId, span.name)

    t.match(webhook, { kind: SpanKind.SERVER, error: undefined, links: [] })
    t.match(webhook.attributes, {
      'http.request.method': 'POST',
      'http.route': '/in',
      'http.response.status_code': 200,
      'jambonz.call_sid': story.callSid
    })
    t.equal(webhook.parentId, hook.parentId, "jambonz' own span")
    t.equal(listen.parentId, webhook.spanId, 'the listen follows the webhook that asked for it')
    const [call] = await app.jambonz.calls.list()
    const { id, audio, recording } = call!.listens[0]!
    t.match(listen.attributes, {
      'http.route': '/audio/own',
      'jambonz.call_sid': story.callSid,
      'jambonz.listen_id': id,
      'jambonz.end_reason': 'closed',
      'jambonz.audio.frames': audio.frames,
      'jambonz.audio.bytes': audio.bytes,
      'jambonz.audio.duration_ms': audio.durationMs,
      'jambonz.audio.gap_ms': audio.gapMs,
      'jambonz.recording.location': recording!.location,
      'jambonz.handed_over': false
    })
    t.match(hook.attributes, {
      'jambonz.call_sid': story.callSid,
      'jambonz.listen_id': id,
      'jambonz.end_reason': 'closed'
    })

    const parentOf = async (name: string) => (await spans.named(name)).parentId
    t.equal(await parentOf('preHandler'), webhook.spanId)
    t.equal(await parentOf('webhook work'), webhook.spanId)
    t.equal(await parentOf('audio work'), listen.spanId)
    t.equal(await parentOf('hook work'), hook.spanId)
    t.ok(spans.ended.some(({ name, parentId }) => name === 'status work' && parentId === status.spanId))
  }
)

t.test('a failure is recorded on the span in which it happened', async (t) => {
  const webhookSecret = 'secret of the portal'
  const app = await build(t, { fallback: [{ verb: 'hangup' }] })
  let answer = (): void => {}
  app.jambonz.webhook('/broken', async () => {
    throw new Error('mine')
  })
  app.jambonz.webhook('/wrong', async () => [{ verb: 'play' }] as never)
  app.jambonz.webhook(
    '/slow',
    () =>
      new Promise<void>((resolve) => {
        answer = resolve
      })
  )
  const base = await listening(app)
  const post = (url: string) =>
    app.inject({ method: 'POST', url, payload: callWebhook(), headers: { b3: B3 } })

  t.test('the error of a handler that throws is recorded, even if fallback verbs are answered', async (t) => {
    t.equal((await post('/broken')).statusCode, 200)
    t.match(await spans.named('webhook /broken'), {
      traceId: TRACE,
      parentId: SPAN,
      error: 'mine',
      events: ['exception'],
      attributes: { 'error.type': 'Error', 'http.response.status_code': 200 }
    })
  })

  t.test('an error in invalid verbs is recorded', async (t) => {
    await post('/wrong')
    t.match(await spans.named('webhook /wrong'), {
      error: /play/,
      events: ['exception'],
      attributes: { 'error.type': 'FST_JAMBONZ_VERB_INVALID' }
    })
  })

  t.test("a refused request's status is recorded", async (t) => {
    const guarded = await build(t, { webhookSecret })
    guarded.jambonz.webhook('/in', async () => [])
    t.equal(
      (await guarded.inject({ method: 'POST', url: '/in', payload: callWebhook(), headers: { b3: B3 } }))
        .statusCode,
      401
    )
    t.match(await spans.named('webhook /in'), {
      traceId: TRACE,
      error: String,
      attributes: { 'error.type': 'FST_JAMBONZ_SIGNATURE_MISSING', 'http.response.status_code': 401 }
    })
  })

  t.test('a connection that ends before the answer is recorded', async (t) => {
    const request = httpRequest(`${base}/slow`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'b3': B3 }
    })
    request.on('error', () => {})
    app.jambonz.calls.events.once('call', () => {
      setImmediate(() => request.destroy())
    })
    request.end(JSON.stringify(callWebhook()))
    t.match(await spans.named('webhook /slow'), {
      traceId: TRACE,
      error: 'jambonz hung up before it was answered',
      attributes: { 'jambonz.call_sid': String }
    })
    answer()
  })
})

t.test("a listen's span records the failure of the listen", async (t) => {
  const sink = () =>
    new Writable({
      write(_chunk, _encoding, done) {
        done(new Error('the shelf is full'))
      }
    })
  const app = await build(t, { recording: { sink, flushInterval: 50 } })
  app.jambonz.audio('/throws', { record: false }, async () => {
    throw new RangeError('no bot')
  })
  app.jambonz.audio('/lost', { record: false }, () => {})
  for (const url of ['/audio', '/throws', '/lost']) {
    app.jambonz.webhook(`/to${url}`, async () => [{ verb: 'listen', url, actionHook: '/done' }])
  }
  app.jambonz.actionHook('/done', async () => [])
  const base = await listening(app)
  const open = async (path: string) => {
    const asked = await askForListen(app, path, base)
    const socket = await asked.open()
    return {
      asked,
      socket,
      sent: () => {
        socket.send(asked.metadata())
        socket.send(ramp(200))
      }
    }
  }

  t.test('the error of an audio handler is recorded', async (t) => {
    ;(await open('/to/throws')).sent()
    t.match(await spans.named('listen /throws'), {
      error: 'no bot',
      events: ['exception'],
      attributes: { 'error.type': 'RangeError', 'jambonz.end_reason': 'error' }
    })
  })

  t.test('a connection that is lost before the first frame is recorded', async (t) => {
    ;(await open('/to/lost')).socket.terminate()
    t.match(await spans.named('listen /lost'), {
      error: 'the connection was lost',
      attributes: { 'jambonz.end_reason': 'lost', 'jambonz.audio.frames': 0 }
    })
  })

  t.test('the error of a failed recording is recorded', async (t) => {
    const { socket, sent } = await open('/to/audio')
    const failed = once(app.jambonz.calls.events, 'recordingFailed')
    sent()
    await failed
    socket.close(1000)
    t.match(await spans.named('listen /audio'), {
      error: /the shelf is full/,
      attributes: { 'jambonz.end_reason': 'closed' }
    })
  })
})

t.test('the spans of a request belong to a trace', async (t) => {
  const app = await build(t, { strict: false })
  app.jambonz.webhook('/in', async () => {
    tracer.startActiveSpan('inside', (span) => span.end())
    return [{ verb: 'listen' }]
  })
  const base = await listening(app)
  const post = async (headers: Record<string, string>) => {
    const response = await app.inject({ method: 'POST', url: '/in', payload: callWebhook(), headers })
    t.equal(response.statusCode, 200)
  }

  t.test('a request joins the trace in its b3 header, even if the trace id has 64 bits', async (t) => {
    await post({ b3: `64fe8b2a57d3eff7-${SPAN}-1` })
    t.match(await spans.named('webhook /in'), { traceId: '000000000000000064fe8b2a57d3eff7', parentId: SPAN })
  })

  t.test('a request without a valid b3 header has its own trace', async (t) => {
    await post({ b3: 'garbage' })
    const { traceId, parentId, spanId } = await spans.named('webhook /in')
    t.not(traceId, TRACE)
    t.equal(parentId, undefined)
    t.equal((await spans.named('inside')).parentId, spanId)
  })

  t.test(
    'if jambonz does not sample a request, no spans of the request, the handler and the listen are recorded',
    async (t) => {
      await post({ b3: `${TRACE}-${SPAN}-0` })
      await post({ b3: '0' })
      const [call] = await app.jambonz.calls.list()
      t.match((call!.listens[0] as StoredListen).trace, /^[0-9a-f]{32}-[0-9a-f]{16}-0$/)
      await post({})
      await spans.named('inside')
      t.equal(spans.ended.filter(({ name }) => name === 'inside').length, 1)
    }
  )

  t.test("a request's span has the active span as parent and a link to jambonz' trace", async (t) => {
    await tracer.startActiveSpan('server', async (server) => {
      await post({ b3: B3 })
      server.end()
    })
    const server = await spans.named('server')
    t.match(await spans.named('webhook /in'), {
      traceId: server.traceId,
      parentId: server.spanId,
      links: [TRACE],
      kind: SpanKind.INTERNAL
    })
  })

  t.test('a listen that another instance answered with has its own trace', async (t) => {
    const socket = await openSocket(`${base}/audio`)
    socket.send(JSON.stringify({ callSid: 'elsewhere', sampleRate: 8000, mixType: 'mono' }))
    socket.send(ramp(20))
    socket.close(1000)
    t.match(await spans.named('listen /audio'), {
      parentId: undefined,
      attributes: { 'jambonz.call_sid': 'elsewhere', 'jambonz.audio.frames': 1 }
    })
  })
})

t.test('a listen joins the trace of its webhook on another instance', { skip: noRedis() }, async (t) => {
  const redis = await startRedis(t)
  const instance = async () => {
    const app = await build(t, {
      secret: 'one secret for both',
      store: redisStore(new Redis(redis.url, { lazyConnect: true }))
    })
    app.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
    return app
  }
  const [a, b] = [await instance(), await instance()]
  const asked = await askForListen(a, '/in', await listening(b))
  const socket = await asked.open()
  socket.send(asked.metadata())
  socket.close(1000)
  const { traceId, spanId } = await spans.named('webhook /in')
  t.match(await spans.named('listen /audio'), { traceId, parentId: spanId })
})
