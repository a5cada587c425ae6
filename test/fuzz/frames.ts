import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import Fastify from 'fastify'
import fc from 'fast-check'
import jambonzListen from '../../lib/index.js'
import { listening } from '../helpers/build.js'
import type { FuzzTarget } from './target.js'

const OPENING = JSON.stringify({ callSid: 'a-call', sampleRate: 8000, mixType: 'mono' })
const TEXT = 1
const MASK = 0x80

interface Frame {
  /** the frame's first byte: fin, reserved bits and opcode */
  first: number
  masked: boolean
  /** encoding of the frame's length; `lie`: the encoded length is wrong */
  length: 'short' | 'wide' | 'widest' | 'lie'
  payload: Uint8Array
}

const frame: fc.Arbitrary<Frame> = fc.record({
  first: fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(0x81, 0x82, 0x02, 0x80, 0x88, 0x89, 0x8a) },
    { weight: 1, arbitrary: fc.nat(255) }
  ),
  masked: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  length: fc.oneof(
    { weight: 8, arbitrary: fc.constant('short' as const) },
    { weight: 1, arbitrary: fc.constantFrom('wide' as const, 'widest' as const, 'lie' as const) }
  ),
  payload: fc.uint8Array({ maxLength: 700 })
})

function bytesOf({ first, masked, length, payload }: Frame): Buffer {
  const mask = masked ? MASK : 0
  const { byteLength } = payload
  const head =
    length === 'lie'
      ? Buffer.from([first, mask | 127, ...payload.subarray(0, 8)])
      : length === 'widest'
        ? Buffer.from([first, mask | 127, 0, 0, 0, 0, 0, 0, byteLength >> 8, byteLength & 255])
        : length === 'wide' || byteLength > 125
          ? Buffer.from([first, mask | 126, byteLength >> 8, byteLength & 255])
          : Buffer.from([first, mask | byteLength])
  const key = Buffer.from([1, 2, 3, 4])
  const body = masked ? payload.map((byte, at) => byte ^ (key[at % key.length] ?? 0)) : payload
  return Buffer.concat([head, ...(masked ? [key] : []), body])
}

/**
 * Random bytes in random pieces arrive on a socket. The socket must end, and the process and other sockets
 * must continue.
 */
export const frames: FuzzTarget = {
  name: 'frames',
  share: 0.5,
  async begin() {
    const app = Fastify()
    await app.register(jambonzListen, { strict: false })
    app.get('/alive', () => 'yes')
    const { port, host } = new URL(await listening(app))
    const upgrade = [
      'GET /audio HTTP/1.1',
      `Host: ${host}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Protocol: audio.jambonz.org',
      '\r\n'
    ].join('\r\n')
    const opening = bytesOf({
      first: MASK | TEXT,
      masked: true,
      length: 'short',
      payload: Buffer.from(OPENING)
    })
    return {
      property: fc.asyncProperty(
        fc.boolean(),
        fc.array(frame, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 6 }),
        async (isOpened, sent, cuts) => {
          const socket = connect(Number(port), '127.0.0.1')
          socket.on('error', () => {}).resume()
          const closed = once(socket, 'close')
          socket.write(upgrade)
          const bytes = Buffer.concat([...(isOpened ? [opening] : []), ...sent.map(bytesOf)])
          let at = 0
          for (const cut of cuts) {
            socket.write(bytes.subarray(at, at + cut))
            at += cut
            await new Promise(setImmediate)
          }
          socket.end(bytes.subarray(at))
          await closed
          const alive = await app.inject('/alive')
          assert.equal(alive.body, 'yes')
        }
      ),
      end: () => app.close()
    }
  }
}
