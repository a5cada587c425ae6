import { createRequire } from 'node:module'
import { propagation, SpanKind, trace } from '@opentelemetry/api'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { B3Propagator } from '@opentelemetry/propagator-b3'
import t, { type Test } from 'tap'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, listening } from '../helpers/build.js'
import { recordSpans } from '../helpers/spans.js'

// Enables OpenTelemetry's instrumentation of HTTP before the plugin is used, as an application does. The
// instrumentation takes effect with the next require() of node:http.
const spans = recordSpans()
const instrumentation = new HttpInstrumentation()
instrumentation.enable()
createRequire(import.meta.url)('node:http')
t.teardown(() => instrumentation.disable())
t.beforeEach(() => spans.reset())

/** Makes a call. Returns the spans of its first request, and the id of the trace in jambonz' header. */
async function call(t: Test) {
  const app = await build(t)
  let traceId = ''
  app.jambonz.webhook('/in', async ({ body }) => {
    traceId = String(body.trace_id)
    await Promise.resolve()
    trace.getTracer('the application').startActiveSpan('work', (span) => span.end())
    return [{ verb: 'say', text: 'hello' }, { verb: 'hangup' }]
  })
  const story = await simulateCall({ url: `${await listening(app)}/in` })
  t.same(story.errors, [])
  const webhook = await spans.named('webhook /in')
  return {
    traceId,
    webhook,
    work: await spans.named('work'),
    server: await spans.named('POST', ({ kind }) => kind === SpanKind.SERVER)
  }
}

t.test('the plugin adds its spans to the trace of the HTTP instrumentation', async (t) => {
  const { traceId, server, webhook, work } = await call(t)
  t.match(webhook, { traceId: server.traceId, parentId: server.spanId, kind: SpanKind.INTERNAL })
  t.match(work, { traceId: server.traceId, parentId: webhook.spanId })
  t.not(server.traceId, traceId)
  t.same(webhook.links, [traceId], "a link leads to jambonz' own trace")
})

t.test("with a B3 propagator, the request joins jambonz' trace", async (t) => {
  propagation.disable()
  propagation.setGlobalPropagator(new B3Propagator())
  const { traceId, server, webhook, work } = await call(t)
  for (const span of [server, webhook, work]) t.equal(span.traceId, traceId, span.name)
  t.equal(webhook.parentId, server.spanId)
  t.same(webhook.links, [])
})
