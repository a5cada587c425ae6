import t from 'tap'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, folder, listening } from '../helpers/build.js'
import { keepingLogger } from '../helpers/log.js'
import { recordSpans } from '../helpers/spans.js'
import { until } from '../helpers/until.js'

const spans = recordSpans()

t.test(
  'a call over an application websocket has the same spans and log lines as a call over HTTP',
  async (t) => {
    const run = async (scheme: 'http' | 'ws') => {
      spans.reset()
      const { logger, lines } = keepingLogger()
      const app = await build(t, { fastify: { loggerInstance: logger }, recording: { directory: folder() } })
      let traceId: unknown
      app.jambonz.webhook('/in', async ({ body }) => {
        traceId = body.trace_id
        return [{ verb: 'listen', actionHook: '/done', url: '/audio/own', maxLength: 1 }, { verb: 'hangup' }]
      })
      app.jambonz.audio('/audio/own', () => {})
      app.jambonz.actionHook('/done', async () => {})
      app.jambonz.statusHook('/status')
      const base = (await listening(app)).replace('http', scheme)
      const story = await simulateCall({ url: `${base}/in`, statusHook: '/status' })
      t.strictSame(story.errors, [])
      await spans.named(
        'statusHook /status',
        ({ attributes }) => attributes['jambonz.call_status'] === 'completed'
      )
      await spans.named('listen /audio/own')
      const ofCall = () => lines.filter(({ callSid }) => callSid === story.callSid)
      await until(() => ofCall().filter(({ msg }) => msg === 'request completed').length >= 5, 'the log')
      for (const span of spans.ended) t.equal(span.traceId, traceId, `${scheme}: ${span.name}`)
      const byId = new Map(spans.ended.map(({ spanId, name }) => [spanId, name]))
      return {
        spans: spans.ended
          .map(({ name, kind, parentId, attributes }) => [
            name,
            kind,
            byId.get(parentId ?? ''),
            Object.keys(attributes).sort(),
            attributes['http.route']
          ])
          .sort(),
        lines: ofCall()
          .map(({ msg, level, listenId }) => `${level} ${msg} ${typeof listenId}`)
          .sort()
      }
    }
    const http = await run('http')
    t.strictSame(await run('ws'), http)
    t.ok(http.spans.length >= 5)
  }
)
