import t, { type Test } from 'tap'
import { closing } from '../helpers/socket.js'
import { ramp } from '../helpers/listen.js'
import { callOf, Collector, listenOf, streamPair, until } from '../helpers/streamPair.js'

t.jobs = 10
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

test("stream.metadata is the first frame of the socket, overridden by the verb's own metadata", async (t) => {
  const { live, start } = await streamPair(t, {
    started: false,
    listen: { metadata: { customer: "O'Brien" } }
  })
  t.equal(live.stream, undefined)
  start({ customer: 'OBrien', from: '+1' })
  await until(() => live.stream !== undefined)
  const { stream } = live
  t.match(stream?.metadata, { callSid: 'call-1', sampleRate: 8000, from: '+1', customer: "O'Brien" })
  t.match(stream, { callSid: 'call-1', sampleRate: 8000, channels: 1, mixType: 'mono' })
})

test('the event begin is emitted once, before any audio', async (t) => {
  const events: string[] = []
  const { socket, start, live } = await streamPair(t, {
    started: false,
    begin(_live, stream) {
      events.push('begin')
      stream.on('audio', (frame) => events.push(`audio ${frame.length}`))
    }
  })
  start()
  socket.send(ramp(20))
  socket.send(ramp(40))
  await until(() => live.counts.frames === 2)
  t.same(events, ['begin', 'audio 320', 'audio 640'])
})

for (const [what, first] of Object.entries({
  'broken JSON': '{"callerName":"OBrien"}\'',
  'JSON that is no object': '[]',
  'audio': ramp(20)
})) {
  test(`if the first message is ${what} instead of metadata, no audio is lost, and one line is logged`, async (t) => {
    const sink = new Collector()
    const { socket, log, live } = await streamPair(t, {
      started: false,
      listen: { metadata: { a: 1 } },
      begin: (live) => {
        live.addSink(sink)
      }
    })
    socket.send(first)
    socket.send(ramp(40))
    const expected = Buffer.isBuffer(first) ? Buffer.concat([first, ramp(40)]) : ramp(40)
    await until(() => sink.audio.length === expected.length)
    t.ok(sink.audio.equals(expected))
    t.equal(log.filter(({ level }) => level >= 40).length, 1)
    t.same(live.stream?.metadata, { a: 1 })
  })
}

test('a socket on which jambonz sends nothing is closed with 1008', async (t) => {
  const { socket, live } = await streamPair(t, {
    started: false,
    limits: { metadataTimeout: 30 },
    begin: () => t.fail('the stream begins')
  })
  t.match(await closing(socket), { code: 1008, reason: /no listen was known 30 ms/ })
  t.match(await live.done, { reason: 'error', closeCode: 1008, error: { message: /30 ms/ } })
})

test('audio that arrives while the listen is looked up is kept, in order', async (t) => {
  const sink = new Collector()
  let found: (() => void) | undefined
  const { socket, start, live } = await streamPair(t, {
    started: false,
    known: false,
    identify: async (metadata) => {
      t.match(metadata, { callSid: 'call-1' })
      await new Promise<void>((resolve) => {
        found = resolve
      })
      return { call: callOf({ callSid: 'other' }), listen: listenOf({ id: 'other' }) }
    },
    begin: (live) => {
      live.addSink(sink)
    }
  })
  const audio = ramp(1000)
  start()
  for (let at = 0; at < audio.length; at += 320) socket.send(audio.subarray(at, at + 320))
  await until(() => found !== undefined && socket.bufferedAmount === 0)
  t.equal(live.listen, undefined)
  found?.()
  await until(() => sink.audio.length === audio.length)
  t.ok(sink.audio.equals(audio))
  t.equal(live.stream?.callSid, 'other')
})

test('if the socket of an unknown listen begins with audio, the lookup gets no metadata', async (t) => {
  const { socket, live } = await streamPair(t, {
    started: false,
    known: false,
    identify: async (metadata) => {
      t.equal(metadata, undefined)
      throw new Error('who is it?')
    }
  })
  socket.send(ramp(20))
  t.match(await closing(socket), { code: 1008, reason: 'who is it?' })
  t.match(await live.done, { reason: 'error', error: { message: 'who is it?' } })
})

test('a socket whose lookup does not end is closed with 1008, and the late result is ignored', async (t) => {
  let found:
    ((value: { call: ReturnType<typeof callOf>; listen: ReturnType<typeof listenOf> }) => void) | undefined
  const { socket, start, live } = await streamPair(t, {
    started: false,
    known: false,
    limits: { metadataTimeout: 30 },
    identify: () =>
      new Promise((resolve) => {
        found = resolve
      }),
    begin: () => t.fail('the stream begins')
  })
  start()
  t.match(await closing(socket), { code: 1008 })
  found?.({ call: callOf(), listen: listenOf() })
  t.match(await live.done, { reason: 'error' })
})

test('a stream whose socket closes before its first message ends without a begin event', async (t) => {
  const { socket, live } = await streamPair(t, { started: false, begin: () => t.fail('the stream begins') })
  socket.close(1000)
  t.match(await live.done, { reason: 'closed', closeCode: 1000 })
  t.equal(live.stream, undefined)
})

test('a begin listener that throws ends this stream with 1011', async (t) => {
  const { socket, start, live, log } = await streamPair(t, {
    started: false,
    begin: () => {
      throw new Error('no disk')
    }
  })
  start()
  t.match(await closing(socket), { code: 1011 })
  t.match(await live.done, { reason: 'error', error: { message: 'no disk' } })
  t.match(log, [{ err: { message: 'no disk' } }])
})
