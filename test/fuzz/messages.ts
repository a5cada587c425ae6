import assert from 'node:assert/strict'
import { once } from 'node:events'
import Fastify from 'fastify'
import fc from 'fast-check'
import { WebSocket } from 'ws'
import jambonzListen from '../../lib/index.js'
import { listening } from '../helpers/build.js'
import type { FuzzTarget } from './target.js'

const types = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      'session:new',
      'session:redirect',
      'session:reconnect',
      'verb:hook',
      'verb:status',
      'call:status',
      'jambonz:error',
      'llm:tool-call',
      'ack'
    )
  },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 1 }) }
)
const hook = fc.oneof(
  fc.constantFrom(
    '/call',
    '/done',
    '/status',
    '/alive',
    '/../alive',
    'http://127.0.0.1/done',
    '//done',
    '%2e%2e'
  ),
  fc.webPath(),
  fc.jsonValue({ maxDepth: 1 })
)
const data = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.dictionary(
      fc.constantFrom(
        'call_sid',
        'callSid',
        'call_status',
        'digits',
        'verb_id',
        'env_vars',
        'from',
        '__proto__'
      ),
      fc.jsonValue({ maxDepth: 2 }),
      { maxKeys: 6 }
    )
  },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 1 }) }
)
const message = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .record(
        {
          type: types,
          msgid: fc.oneof(fc.string(), fc.jsonValue({ maxDepth: 1 })),
          call_sid: fc.oneof(fc.constantFrom('c1', '', 'é'.repeat(70)), fc.jsonValue({ maxDepth: 1 })),
          hook,
          data
        },
        { requiredKeys: ['type', 'msgid'] }
      )
      .map((json) => JSON.stringify(json))
  },
  { weight: 1, arbitrary: fc.json() },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) }
)

/**
 * Random messages arrive on an application websocket. Each answer must be JSON, no route of the application
 * itself may run, and the process must continue.
 */
export const messages: FuzzTarget = {
  name: 'messages',
  share: 0.5,
  async begin() {
    const app = Fastify()
    await app.register(jambonzListen)
    let strangers = 0
    app.all('/alive', () => {
      strangers++
      return 'yes'
    })
    app.jambonz.webhook('/call', () => [{ verb: 'listen', actionHook: '/done' }])
    app.jambonz.actionHook('/done', () => [{ verb: 'hangup' }])
    app.jambonz.statusHook('/status')
    const origin = await listening(app)
    return {
      property: fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 5 }), async (sent) => {
        const socket = new WebSocket(`${origin.replace('http', 'ws')}/call`, 'ws.jambonz.org')
        const closed = once(socket, 'close')
        const got: string[] = []
        socket.on('error', () => {}).on('message', (text) => got.push(String(text)))
        await once(socket, 'open')
        for (const text of sent) socket.send(text)
        socket.close(1000)
        await closed
        for (const text of got) assert.equal(typeof (JSON.parse(text) as { type?: unknown }).type, 'string')
        assert.equal(strangers, 0, 'a message opened a route of the application')
      }),
      end: () => app.close()
    }
  }
}
