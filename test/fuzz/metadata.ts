import assert from 'node:assert/strict'
import { once } from 'node:events'
import Fastify from 'fastify'
import fc from 'fast-check'
import { WebSocket } from 'ws'
import jambonzListen from '../../lib/index.js'
import { listening } from '../helpers/build.js'
import type { FuzzTarget } from './target.js'

const WHOLE = JSON.stringify({
  callSid: 'a-call',
  sampleRate: 8000,
  mixType: 'mono',
  from: "O'Brien",
  customerData: { a: [1, 2] }
})
const first = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.json(),
  fc
    .tuple(fc.nat(WHOLE.length), fc.string())
    .map(([at, text]) => WHOLE.slice(0, at) + text + WHOLE.slice(at)),
  fc.nat(WHOLE.length).map((end) => WHOLE.slice(0, end)),
  fc
    .dictionary(
      fc.constantFrom('callSid', 'parentCallSid', 'sampleRate', 'mixType', 'from'),
      fc.jsonValue({ maxDepth: 1 })
    )
    .map((json) => JSON.stringify(json)),
  fc.uint8Array()
)
const message = fc.oneof(
  fc.string(),
  fc.json(),
  fc.uint8Array({ maxLength: 700 }),
  fc.constantFrom(
    '{"event":"dtmf","dtmf":"5","duration":"1600"}',
    '{"type":"mark","data":{"name":"x","event":"playout"}}',
    '{"type":"playDone","data":null}'
  )
)

/**
 * A stranger opens a socket and sends random metadata. The socket must be served or closed with a valid code,
 * and the process and other sockets must continue.
 */
export const metadata: FuzzTarget = {
  name: 'metadata',
  share: 1,
  async begin() {
    const app = Fastify()
    await app.register(jambonzListen, { strict: false })
    app.get('/alive', () => 'yes')
    const origin = await listening(app)
    return {
      property: fc.asyncProperty(first, fc.array(message, { maxLength: 5 }), async (opening, messages) => {
        const socket = new WebSocket(`${origin.replace('http', 'ws')}/audio`, 'audio.jambonz.org')
        const closed = once(socket, 'close')
        socket.on('error', () => {})
        await once(socket, 'open')
        for (const data of [opening, ...messages]) socket.send(data)
        socket.close(1000)
        const [code] = await closed
        assert.ok([1000, 1003, 1007, 1008, 1009, 1011].includes(code), `closed with ${code}`)
        assert.equal((await app.inject('/alive')).body, 'yes')
      }),
      end: () => app.close()
    }
  }
}
