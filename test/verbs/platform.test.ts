import t from 'tap'
import { sideOfVoice } from '../../lib/audio/stream/readers.js'
import type { Listen } from '../../lib/model/schema.js'
import { prepareVerbs, type HandlerResult, type VerbContext } from '../../lib/verbs/index.js'
import { build } from '../helpers/build.js'
import { keepingLogger } from '../helpers/log.js'
import { callWebhook } from '../helpers/payloads.js'
import { acceptedByJambonz, verbContext } from '../helpers/verbContext.js'

const prepare = (verb: object, context: Partial<VerbContext> = {}) =>
  prepareVerbs([verb] as HandlerResult, verbContext(context))

t.test(
  'a listen that only jambonz 11 supports is an error for jambonz 0.9, and is sent to jambonz 11',
  async (t) => {
    const nested = { listen: { mixType: 'mixed' } }
    const rows: Array<[verb: object, key: string, nested: string]> = [
      [{ verb: 'conference', name: 'a', ...nested }, 'conference.listen', 'conference'],
      [{ verb: 'conference', name: 'a', stream: {} }, 'conference.stream', 'conference'],
      [{ conference: { name: 'a', listen: {} } }, 'conference.listen', 'conference'],
      [{ verb: 'room', name: 'a', stream: {} }, 'room.stream', 'room'],
      [{ verb: 'room', name: 'a', listen: {} }, 'room.listen', 'room'],
      [{ verb: 'config', stream: {} }, 'config.stream', 'config']
    ]
    for (const [verb, key, where] of rows) {
      t.throws(() => prepare(verb), { code: 'FST_JAMBONZ_VERB_INVALID', message: key })
      const { verbs, listens } = prepare(verb, { platform: '11' })
      t.match(listens, [{ id: 'listen-0', nested: where }], key)
      const [name = '', property = ''] = key.split('.')
      t.match(verbs, [{ verb: name, [property]: { url: '/audio/listen-0.signature' } }])
    }
  }
)

t.test('a config.listen can play files only if its verb enables bidirectionalAudio', async (t) => {
  for (const options of [{}, { mixType: 'stereo' }]) {
    const { verbs, listens } = prepare({ verb: 'config', listen: options })
    t.match(verbs, [{ listen: { bidirectionalAudio: { enabled: false } } }])
    t.match(listens, [{ bidirectional: { mode: 'off' } }])
    t.doesNotThrow(() => acceptedByJambonz(verbs))
  }
  for (const options of [
    { bidirectionalAudio: { enabled: true } },
    { bidirectionalAudio: { streaming: true } },
    { disableBidirectionalAudio: false }
  ]) {
    t.not(prepare({ verb: 'config', listen: options }).listens[0]?.bidirectional?.mode, 'off')
  }
  t.match(prepare({ verb: 'listen' }).listens, [{ bidirectional: { mode: 'file' } }])
})

t.test('values that jambonz accepts are accepted', async (t) => {
  const verbs = [
    { verb: 'listen', finishOnKey: '', maxLength: 0, timeout: 0 },
    { verb: 'listen', actionHook: { url: '/done', username: 'a', password: 'b' } },
    { verb: 'listen', actionHook: { url: '/done', webhook_sid: 'x', method: 'get' } },
    { verb: 'listen', actionHook: { url: '/done', method: 'Post' } },
    { verb: 'listen', actionHook: null, metadata: null },
    {
      verb: 'dial',
      target: [{ type: 'phone', number: '1' }],
      listen: { actionHook: { url: '/x', method: 'post' } }
    },
    { verb: 'gather', input: ['digits'], actionHook: { url: '/x', method: 'post', webhook_sid: 'y' } },
    { verb: 'dial', actionHook: { url: '/x', method: 'get' }, target: [{ type: 'phone', number: '1' }] }
  ]
  for (const verb of verbs) {
    t.doesNotThrow(() => prepare(verb), JSON.stringify(verb))
    t.doesNotThrow(() =>
      acceptedByJambonz(
        prepare(verb).verbs.filter((sent) => !('actionHook' in sent && verb.verb !== 'listen'))
      )
    )
  }
  t.match(prepare(verbs[2]!).verbs, [{ actionHook: { method: 'GET', webhook_sid: 'x' } }])
})

t.test('with validation: warn, verbs that jambonz may refuse are logged once, and sent', async (t) => {
  const { logger, lines } = keepingLogger()
  const app = await build(t, { validation: 'warn', fastify: { loggerInstance: logger } })
  const verbs = [
    { verb: 'say', text: 'Hello', ofTomorrow: true },
    { verb: 'tomorrow', x: 1 },
    { verb: 'listen', turnDetection: 'jambonz' },
    { verb: 'config', listen: { ofTomorrow: 1 } }
  ]
  app.jambonz.webhook('/call', async () => verbs as never)
  for (let i = 0; i < 2; i++) {
    const response = await app.inject({ method: 'POST', url: '/call', payload: callWebhook() })
    t.match(response.json(), verbs)
    t.match(
      response.json<Array<{ url: string }>>()[2]?.url,
      /^\/audio\//,
      'a listen still gets its url and hook'
    )
  }
  t.equal(lines.filter(({ level }) => level === 40).length, 4)
  const strict = await build(t)
  strict.jambonz.webhook('/call', async () => verbs as never)
  t.equal((await strict.inject({ method: 'POST', url: '/call', payload: callWebhook() })).statusCode, 500)
})

t.test("sideOfVoice() finds the caller's side for a listen on either leg of a dial", async (t) => {
  const dial = (listen: object) => ({ verb: 'dial', target: [{ type: 'phone', number: '1' }], listen })
  const at = (listen: object) => prepare(dial({ mixType: 'stereo', ...listen })).listens[0] as Listen
  for (const listen of [at({}), at({ channel: 1 })]) {
    t.equal(sideOfVoice('caller', listen), 'caller')
    t.equal(sideOfVoice('callee', listen), 'callee')
  }
  t.equal(sideOfVoice('caller', at({ channel: 2 })), 'callee')
  t.equal(sideOfVoice('callee', at({ channel: 2 })), 'caller')
  t.equal(
    prepare({ verb: 'listen', channel: 2 }).listens[0]?.leg,
    undefined,
    'outside of a dial, channel 2 has no meaning'
  )
})
