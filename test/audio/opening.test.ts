import t, { type Test } from 'tap'
import { closing } from '../helpers/socket.js'
import { ramp } from '../helpers/listen.js'
import { callOf, Collector, listenOf, streamPair, until } from '../helpers/streamPair.js'

t.jobs = 10
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

test("the first frame is the metadata; the verb's own metadata stands over it", async (t) => {
  const { stream, start } = await streamPair(t, { listen: { metadata: { customer: "O'Brien" } } })
  t.equal(stream.metadata, undefined)
  start({ customer: 'OBrien', from: '+1' })
  await until(() => stream.metadata !== undefined)
  t.match(stream.metadata, { callSid: 'call-1', sampleRate: 8000, from: '+1', customer: "O'Brien" })
  t.match(stream, { callSid: 'call-1', sampleRate: 8000, channels: 1, mixType: 'mono' })
})

test('begin comes once, before any audio', async (t) => {
  const events: string[] = []
  const { socket, start, stream } = await streamPair(t, {
    begin(stream) {
      events.push('begin')
      stream.on('audio', (frame) => events.push(`audio ${frame.length}`))
    }
  })
  start()
  socket.send(ramp(20))
  socket.send(ramp(40))
  await until(() => stream.counts.frames === 2)
  t.same(events, ['begin', 'audio 320', 'audio 640'])
})

for (const [what, first] of Object.entries({
  'broken JSON': '{"callerName":"OBrien"}\'',
  'JSON that is no object': '[]',
  'audio': ramp(20)
})) {
  test(`the path names the call: ${what} in place of the metadata loses no audio, and is logged once`, async (t) => {
    const sink = new Collector()
    const { socket, log, stream } = await streamPair(t, {
      listen: { metadata: { a: 1 } },
      begin: (stream) => {
        stream.addSink(sink)
      }
    })
    socket.send(first)
    socket.send(ramp(40))
    const expected = Buffer.isBuffer(first) ? Buffer.concat([first, ramp(40)]) : ramp(40)
    await until(() => sink.audio.length === expected.length)
    t.ok(sink.audio.equals(expected))
    t.equal(log.filter(({ level }) => level >= 40).length, 1)
    t.same(stream.metadata, { a: 1 })
  })
}

test('a socket that says nothing is closed with 1008', async (t) => {
  const { socket, stream } = await streamPair(t, {
    limits: { metadataTimeout: 30 },
    begin: () => t.fail('it begins')
  })
  t.match(await closing(socket), { code: 1008, reason: /no listen was known 30 ms/ })
  t.match(await stream.done, { reason: 'error', closeCode: 1008, error: { message: /30 ms/ } })
})

test('audio that comes while the listen is looked up is kept, in order', async (t) => {
  const sink = new Collector()
  let found: (() => void) | undefined
  const { socket, start, stream } = await streamPair(t, {
    known: false,
    identify: async (metadata) => {
      t.match(metadata, { callSid: 'call-1' })
      await new Promise<void>((resolve) => {
        found = resolve
      })
      return { call: callOf({ callSid: 'other' }), listen: listenOf({ id: 'other' }) }
    },
    begin: (stream) => {
      stream.addSink(sink)
    }
  })
  const audio = ramp(1000)
  start()
  for (let at = 0; at < audio.length; at += 320) socket.send(audio.subarray(at, at + 320))
  await until(() => found !== undefined && socket.bufferedAmount === 0)
  t.equal(stream.listen, undefined)
  found?.()
  await until(() => sink.audio.length === audio.length)
  t.ok(sink.audio.equals(audio))
  t.equal(stream.callSid, 'other')
})

test('audio first, of a listen nobody knows, is asked for without metadata', async (t) => {
  const { socket, stream } = await streamPair(t, {
    known: false,
    identify: async (metadata) => {
      t.equal(metadata, undefined)
      throw new Error('who is it?')
    }
  })
  socket.send(ramp(20))
  t.match(await closing(socket), { code: 1008, reason: 'who is it?' })
  t.match(await stream.done, { reason: 'error', error: { message: 'who is it?' } })
})

test('a lookup that never ends is closed with 1008, and its late answer is ignored', async (t) => {
  let found:
    ((value: { call: ReturnType<typeof callOf>; listen: ReturnType<typeof listenOf> }) => void) | undefined
  const { socket, start, stream } = await streamPair(t, {
    known: false,
    limits: { metadataTimeout: 30 },
    identify: () =>
      new Promise((resolve) => {
        found = resolve
      }),
    begin: () => t.fail('it begins')
  })
  start()
  t.match(await closing(socket), { code: 1008 })
  found?.({ call: callOf(), listen: listenOf() })
  t.match(await stream.done, { reason: 'error' })
})

test('a socket that closes before it said anything ends without having begun', async (t) => {
  const { socket, stream } = await streamPair(t, { begin: () => t.fail('it begins') })
  socket.close(1000)
  t.match(await stream.done, { reason: 'closed', closeCode: 1000 })
  await until(() => stream.destroyed)
})

test('what begin throws ends this stream with 1011', async (t) => {
  const { socket, start, stream, log } = await streamPair(t, {
    begin: () => {
      throw new Error('no disk')
    }
  })
  start()
  t.match(await closing(socket), { code: 1011 })
  t.match(await stream.done, { reason: 'error', error: { message: 'no disk' } })
  t.match(log, [{ err: { message: 'no disk' } }])
})
