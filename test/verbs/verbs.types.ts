// `npm run typecheck` compiles this file. Each line must compile, unless a @ts-expect-error precedes it.
import { WebhookResponse } from '@jambonz/sdk'
import type { Accepted, Corrected, Verb, VerbsResult } from '../../lib/verbs/index.js'

type Handler<Result> = (this: { name: string }, request: { from: string }) => Result | Promise<Result>

type Checked<R> = Handler<R> & Accepted<R, Handler<Corrected<R>>>

declare function webhook<const R extends VerbsResult | void>(handler: Checked<R>): void
declare function webhook<const R>(handler: Checked<R>): void

const elsewhere = 'wss://recorder.example.com/calls'
const target = [{ type: 'phone' as const, number: '+15085551212' }]

webhook(() => {})
webhook(async () => undefined)
webhook(async () => [])
webhook(async () => ({ verb: 'hangup' }))
webhook(async () => ({ hangup: {} }))
webhook(async function (request) {
  return [
    { verb: 'say', text: `${this.name} ${request.from}` },
    { verb: 'pause', length: 1 }
  ]
})
webhook(async (request) =>
  request.from === '' ? [{ verb: 'sip:decline', status: 603 }] : [{ say: { text: 'Hello' } }, { listen: {} }]
)
webhook(async ({ from }) => {
  if (from !== '') return { verb: 'listen', timeout: 3 }
})
webhook(async () => {
  const verbs: Verb[] = []
  verbs.push({ verb: 'answer' })
  return verbs
})
webhook(() => new WebhookResponse().say({ text: 'Hello' }).hangup())
webhook(async () => new WebhookResponse())
webhook(() => [
  {
    verb: 'listen',
    actionHook: { url: '/done', method: 'GET', basicAuth: { username: 'a', password: 'b' } },
    finishOnKey: '*#',
    maxLength: 120,
    metadata: { customer: { id: 5 } },
    mixType: 'stereo',
    playBeep: true,
    sampleRate: 16_000,
    timeout: 2.5,
    transcribe: { transcriptionHook: '/transcript', recognizer: { vendor: 'deepgram' } },
    url: elsewhere,
    wsAuth: { username: 'a', password: 'b' },
    bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 32_000 }
  }
])
webhook(() => [
  { verb: 'stream', passDtmf: true, channel: 2, earlyMedia: true, id: 'x', disableBidirectionalAudio: true }
])
webhook(() => [
  { verb: 'dial', target, listen: { mixType: 'stereo' } },
  { verb: 'dial', target, stream: { maxLength: 5 } }
])
webhook(() => [
  { verb: 'config', listen: { enable: true, timeout: 5 } },
  { verb: 'config', listen: { enable: false } }
])
webhook(() => [
  { verb: 'gather', input: ['digits'], say: { text: 'Your pin?' } },
  { verb: 'openai_s2s', llmOptions: {} }
])

// Properties that jambonz does not know
// @ts-expect-error listen has no property maxlength
webhook(() => [{ verb: 'listen', maxlength: 5 }])
// @ts-expect-error say has no property txt
webhook(async () => [{ verb: 'hangup' }, { verb: 'say', txt: 'Hello' }])
// @ts-expect-error listen has no property foo
webhook(async () => ({ verb: 'listen', foo: 1 }))
// @ts-expect-error listen has no property foo
webhook(() => [{ listen: { maxLength: 1, foo: 1 } }])
// @ts-expect-error dial.listen has no property foo
webhook(() => [{ verb: 'dial', target, listen: { maxLength: 1, foo: 1 } }])
// @ts-expect-error config.listen has no property actionHook: jambonz refuses one there
webhook(() => [{ verb: 'config', listen: { maxLength: 1, actionHook: '/done' } }])
// @ts-expect-error recognizer belongs to a nested transcribe
webhook(() => [{ verb: 'listen', recognizer: { vendor: 'google' } }])

// Invalid values
// @ts-expect-error 'both' is no mixType
webhook(() => [{ verb: 'listen', mixType: 'both' }])
// @ts-expect-error maxLength is a number
webhook(() => [{ verb: 'listen', maxLength: '10' }])
// @ts-expect-error 11025 is no sampleRate of a listen
webhook(() => [{ verb: 'listen', sampleRate: 11_025 }])
// @ts-expect-error the method of a hook is GET or POST
webhook(() => [{ verb: 'listen', actionHook: { url: '/done', method: 'PUT' } }])
// @ts-expect-error transcribe without a vendor
webhook(() => [{ verb: 'listen', transcribe: { recognizer: { language: 'en-US' } } }])
// @ts-expect-error wsAuth without a password
webhook(() => [{ stream: { wsAuth: { username: 'a' } } }])
// @ts-expect-error a dial without a target
webhook(() => [{ verb: 'dial', listen: {} }])
// @ts-expect-error config.stream has no actionHook
webhook(() => [{ verb: 'config', stream: { actionHook: '/x' } }])
// @ts-expect-error pause without a length
webhook(() => [{ verb: 'pause' }])

// Values that are no verbs
// @ts-expect-error lisen is no verb
webhook(() => [{ verb: 'lisen' }])
// @ts-expect-error record is no verb of jambonz
webhook(() => [{ record: {} }])
// @ts-expect-error a text is no verb
webhook(() => 'Hello')
// @ts-expect-error a number is no verb
webhook(async () => 5)
