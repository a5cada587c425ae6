// `npm run typecheck` compiles this file; it never runs. It checks the types of handlers' arguments and
// return values.
import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import { WebhookResponse } from '@jambonz/sdk/webhook'
import jambonzListen, { type AudioStream, type Call, type Listen } from '../../lib/index.js'

const app = Fastify()
await app.register(jambonzListen, { recording: { directory: 'recordings' } })
// @ts-expect-error there is no such option
await app.register(jambonzListen, { recordings: {} })

app.jambonz.webhook('/a', async function (request, reply) {
  const sid: string = request.body.call_sid
  const call: Call = request.call
  // @ts-expect-error a webhook's request has no listen
  const listen: Listen = request.listen
  reply.header('x-call', sid).log.info({ call, listen })
  this.log.info('`this` is the instance')
  return [{ verb: 'say', text: 'hi' }, { listen: { mixType: 'stereo' } }]
})
app.jambonz.webhook('/b', async () => new WebhookResponse().hangup())
app.jambonz.webhook('/c', () => {})
// @ts-expect-error there is no such mixType
app.jambonz.webhook('/d', async () => [{ verb: 'listen', mixType: 'both' }])
// @ts-expect-error maxLength has to be a number
app.jambonz.webhook('/e', async () => [{ verb: 'listen', maxLength: '10' }])
// @ts-expect-error there is no such property
app.jambonz.webhook('/f', async () => [{ verb: 'listen', sampelRate: 8000 }])
// @ts-expect-error there is no such verb
app.jambonz.webhook('/f', async () => [{ verb: 'sing' }])

app.jambonz.actionHook('/g', async ({ listen, call, body }) => {
  const location: string | undefined = listen.recording?.location
  const duration: number | undefined = body.dial_call_duration
  return [{ verb: 'tag', data: { location, duration, sid: call.callSid } }]
})
app.jambonz.actionHook('/h', { schema: { body: Type.Object({ own: Type.Number() }) } }, async ({ body }) => {
  const own: number = body.own
  // @ts-expect-error the route's own schema has no such field
  return [{ verb: 'say', text: `${own} ${body.digits}` }]
})
app.jambonz.statusHook('/i', ({ body: { call_status: status } }) => status?.toUpperCase())
app.jambonz.audio('/j', async (stream: AudioStream) => {
  stream.on('audio', (frame) => frame.length)
})
