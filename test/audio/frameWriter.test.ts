import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import { WebSocket } from 'ws'
import { FrameWriter } from '../../lib/audio/socket/frames/FrameWriter.js'
import { Internals } from '../../lib/audio/socket/frames/Internals.js'
import { bytesOf, SampleRing } from '../../lib/pcm/samples.js'
import { webSocketPair } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

const SIZES = [0, 1, 125, 126, 127, 320, 640, 32_768, 65_532, 65_533, 65_536, 100_000]

function internalsOf(socket: WebSocket): Internals {
  const internals = Internals.of(socket)
  if (typeof internals === 'string') throw new Error(`ws or Node is not as expected: ${internals}`)
  return internals
}

function receivedBy(client: WebSocket): Array<string | Buffer> {
  const received: Array<string | Buffer> = []
  client.on('message', (data: Buffer, isBinary) => received.push(isBinary ? data : data.toString()))
  return received
}

for (const by of ['the kernel', 'ws'] as const) {
  t.test(`audio messages of every size arrive in order between texts, written by ${by}`, async (t) => {
    const { socket, client } = await webSocketPair(t)
    const writer = new FrameWriter(socket, by === 'ws' ? undefined : internalsOf(socket))
    const received = receivedBy(client)
    const sent: Array<string | Buffer> = []
    for (const [n, size] of SIZES.entries()) {
      const audio = Buffer.alloc(size, n + 1)
      writer.send(audio)
      socket.send(`text ${n}`)
      writer.send(audio)
      sent.push(Buffer.from(audio), `text ${n}`, Buffer.from(audio))
      // If no audio waits in the socket, the buffer may be overwritten at once, and the message must still
      // arrive unchanged.
      if (socket.bufferedAmount === 0) audio.fill(0)
    }
    await until(() => received.length === sent.length, 'all messages')
    t.same(received, sent)
  })
}

t.test('messages that the kernel can not take wait in the socket and arrive in order', async (t) => {
  const { socket, client } = await webSocketPair(t)
  const writer = new FrameWriter(socket, internalsOf(socket))
  const received = receivedBy(client)
  client.pause()
  let count = 0
  // Fill the kernel's buffer. Then one frame is written only in part, and the later frames wait behind it.
  while (socket.bufferedAmount < 200_000) {
    writer.send(Buffer.alloc(30_000, ++count))
    if (count > 5_000) throw new Error('the kernel accepts all frames')
  }
  client.resume()
  await until(() => received.length === count, 'all messages')
  t.ok(received.every((message, n) => message.length === 30_000 && message[0] === (n + 1) % 256))
  await until(() => socket.bufferedAmount === 0, 'the socket to be empty')
  writer.send(Buffer.alloc(320, 7))
  await until(() => received.length === count + 1, 'the last message')
})

t.test('no write request is made for audio that the kernel takes at once', async (t) => {
  const { socket, client } = await webSocketPair(t)
  const received = receivedBy(client)
  const raw = Reflect.get(socket, '_socket') as Socket
  const before = raw.bytesWritten
  new FrameWriter(socket, internalsOf(socket)).send(Buffer.alloc(320, 1))
  t.equal(raw.bytesWritten, before)
  await until(() => received.length === 1, 'the message')
})

t.test('a frame for a closed socket is passed to ws, which reports the error', async (t) => {
  const { socket, client } = await webSocketPair(t)
  const writer = new FrameWriter(socket, internalsOf(socket))
  client.terminate()
  await once(socket, 'close')
  t.doesNotThrow(() => writer.send(Buffer.alloc(320)))
  const error = await new Promise<unknown>((resolve) => {
    writer.send(Buffer.alloc(320), resolve as () => void)
  })
  t.ok(error instanceof Error)
})

t.test(
  'SampleRing returns the samples in the order in which they were pushed, while it grows and shrinks',
  (t) => {
    const ring = new SampleRing(8)
    const expected: number[] = []
    let next = 0
    for (let n = 0; n < 2_000; n++) {
      const pushed = Int16Array.from({ length: (n * 7) % 23 }, () => ++next % 30_000)
      ring.push(bytesOf(pushed))
      expected.push(...pushed)
      t.equal(ring.includes(next), expected.includes(next))
      t.equal(ring.includes(-1), false)
      const count = Math.min(expected.length, (n * 5) % 26)
      if (n % 5 === 0) ring.drop(count)
      else {
        const into = new Int16Array(count + 2)
        ring.shift(into, 1, count)
        t.same([...into], [0, ...expected.slice(0, count), 0])
      }
      expected.splice(0, count)
      t.equal(ring.length, expected.length)
    }
    t.ok(ring.room >= ring.length)
    t.end()
  }
)
