import assert from 'node:assert/strict'
import Fastify from 'fastify'
import fc from 'fast-check'
import jambonzListen from '../../lib/index.js'
import { callWebhook } from '../helpers/payloads.js'
import type { FuzzTarget } from './target.js'

const names = fc.constantFrom(
  'say',
  'play',
  'listen',
  'stream',
  'dial',
  'config',
  'gather',
  'hangup',
  'pause',
  'redirect',
  'conference',
  'room',
  'tag',
  'message',
  '__proto__',
  'constructor',
  'nonsense'
)
const properties = fc.constantFrom(
  'verb',
  'url',
  'actionHook',
  'text',
  'listen',
  'stream',
  'enable',
  'mixType',
  'sampleRate',
  'metadata',
  'wsAuth',
  'username',
  'password',
  'bidirectionalAudio',
  'streaming',
  'enabled',
  'finishOnKey',
  'maxLength',
  'timeout',
  'passDtmf',
  'playBeep',
  'target',
  'transcribe',
  'channel',
  'id',
  'method',
  'length',
  '__proto__',
  'callSid'
)
const leaves = fc.oneof(
  fc.constantFrom<unknown>(
    '/audio',
    'wss://elsewhere.example/x',
    'http://[',
    '#',
    '*#',
    'stereo',
    'mono',
    'POST',
    'get',
    '',
    '\u0000',
    '\uD800',
    8000,
    16_000,
    0,
    -1,
    1e308,
    null,
    true,
    false,
    undefined
  ),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.bigInt()
)
const { value } = fc.letrec<{ value: unknown; data: Record<string, unknown> }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaves,
    fc.array(tie('value'), { maxLength: 3 }),
    tie('data')
  ),
  data: fc.dictionary(
    fc.oneof({ weight: 9, arbitrary: properties }, { weight: 1, arbitrary: fc.string() }),
    tie('value'),
    { maxKeys: 6 }
  )
}))
const verb = fc.oneof(
  fc
    .tuple(names, fc.dictionary(properties, value, { maxKeys: 6 }))
    .map(([name, data]) => ({ ...data, verb: name })),
  fc.tuple(names, value).map(([name, data]) => ({ [name]: data })),
  value
)

/**
 * A handler returns random values. The plugin must answer with verbs, or with an error that names the
 * mistake.
 */
export const verbs: FuzzTarget = {
  name: 'verbs',
  share: 3,
  async begin() {
    const app = Fastify()
    let result: unknown
    await app.register(jambonzListen)
    app.jambonz.webhook('/call', () => result as never)
    await app.ready()
    return {
      property: fc.asyncProperty(
        fc.oneof({ weight: 9, arbitrary: fc.array(verb, { maxLength: 4 }) }, { weight: 1, arbitrary: value }),
        async (returned) => {
          result = returned
          const { statusCode, body } = await app.inject({
            method: 'POST',
            url: '/call',
            payload: callWebhook()
          })
          if (statusCode === 200) {
            for (const { verb } of JSON.parse(body)) assert.equal(typeof verb, 'string', body)
          } else {
            assert.equal(statusCode, 500, body)
            assert.match(JSON.parse(body).code, /^FST_JAMBONZ_/, body)
          }
        }
      ),
      end: () => app.close()
    }
  }
}
