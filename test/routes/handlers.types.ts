// Compiled by `npm run typecheck`, never run: what handlers are given, and what they may return.
import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import { WebhookResponse } from '@jambonz/sdk/webhook'
import jambonzListen, { type AudioStream, type Call, type Listen } from '../../lib/index.js'

const app = Fastify()
await app.register(jambonzListen, { recording: { directory: 'recordings' } })
// @ts-expect-error an option that is not there
await app.register(jambonzListen, { recordings: {} })

app.jambonz.webhook('/a', async function (request, reply) {
  const sid: string = request.body.call_sid
  const call: Call = request.call
  // @ts-expect-error a webhook has no listen of its own
  const listen: Listen = request.listen
  reply.header('x-call', sid).log.info({ call, listen })
  this.log.info('`this` is the instance')
  return [{ verb: 'say', text: 'hi' }, { listen: { mixType: 'stereo' } }]
})
app.jambonz.webhook('/b', async () => new WebhookResponse().hangup())
app.jambonz.webhook('/c', () => {})
// @ts-expect-error no such mixType
app.jambonz.webhook('/d', async () => [{ verb: 'listen', mixType: 'both' }])
// @ts-expect-error a number is wanted
app.jambonz.webhook('/e', async () => [{ verb: 'listen', maxLength: '10' }])
// @ts-expect-error no such property
app.jambonz.webhook('/f', async () => [{ verb: 'listen', sampelRate: 8000 }])
// @ts-expect-error no such verb
app.jambonz.webhook('/f', async () => [{ verb: 'sing' }])

app.jambonz.actionHook('/g', async ({ listen, call, body }) => {
  const location: string | undefined = listen.recording?.location
  const duration: number | undefined = body.dial_call_duration
  return [{ verb: 'tag', data: { location, duration, sid: call.callSid } }]
})
app.jambonz.actionHook('/h', { schema: { body: Type.Object({ own: Type.Number() }) } }, async ({ body }) => {
  const own: number = body.own
  // @ts-expect-error not in the route's own schema
  return [{ verb: 'say', text: `${own} ${body.digits}` }]
})
app.jambonz.statusHook('/i', ({ body: { call_status: status } }) => status?.toUpperCase())
app.jambonz.audio('/j', async (stream: AudioStream) => {
  stream.on('audio', (frame) => frame.length)
})
