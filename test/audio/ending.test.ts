import t, { type Test } from 'tap'
import { watchEndConditions } from '../../lib/audio/stream/endConditions.js'
import { bytesOf } from '../../lib/pcm/samples.js'
import type { Listen } from '../../lib/model/schema.js'
import { closing } from '../helpers/socket.js'
import { ramp } from '../helpers/listen.js'
import { Collector, streamPair, until, type PairOptions } from '../helpers/streamPair.js'

t.jobs = 20
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

const SILENCE_LEVEL = -50
const dtmf = (digit: string) => JSON.stringify({ event: 'dtmf', dtmf: digit, duration: '1600' })

async function begun(t: Test, options: PairOptions = {}) {
  const sink = new Collector()
  const pair = await streamPair(t, {
    begin: (live) => {
      live.addSink(sink, { live: false })
    },
    ...options
  })
  // Plays the part of jambonz, which closes the socket when it gets a disconnect.
  pair.socket.on('message', (data, isBinary) => {
    if (!isBinary && JSON.parse(String(data)).type === 'disconnect') pair.socket.close(1000)
  })
  return { ...pair, sink }
}

const watched = (t: Test, listen: Partial<Listen>) =>
  begun(t, {
    listen,
    begin: (live, stream) => watchEndConditions(live, stream, { silenceLevel: SILENCE_LEVEL })
  })

/** Returns `ms` of noise whose RMS level is `level` dBFS. */
function noise(ms: number, level: number): Buffer {
  const amplitude = 32_768 * 10 ** (level / 20)
  return bytesOf(Int16Array.from({ length: ms * 8 }, (_, i) => (i % 2 === 0 ? amplitude : -amplitude)))
}

test('endReason is closed when jambonz closes', async (t) => {
  const { stream, socket, sink } = await begun(t)
  socket.send(ramp(20))
  socket.close(1000)
  t.same(await stream.done, { reason: 'closed', closeCode: 1000 })
  t.ok(sink.audio.equals(ramp(20)))
})

test('endReason is lost when the connection breaks; every frame before the break is kept', async (t) => {
  const { stream, socket, sink } = await begun(t)
  socket.send(ramp(200), () => socket.terminate())
  t.same(await stream.done, { reason: 'lost', closeCode: 1006 })
  t.ok(sink.audio.equals(ramp(200)))
})

test('a peer that answers no ping is lost within two heartbeats; a peer that only sends no audio is not', async (t) => {
  const dead = await begun(t, { limits: { heartbeat: 300 } })
  const paused = await begun(t, { limits: { heartbeat: 300 } })
  dead.socket.pause()
  const before = performance.now()
  t.match(await dead.stream.done, { reason: 'lost' })
  t.ok(performance.now() - before < 3000)
  t.equal(paused.socket.readyState, paused.socket.OPEN)
  paused.socket.send(ramp(20))
  await until(() => paused.stream.counts.frames === 1)
})

test('endReason is disconnected after disconnect()', async (t) => {
  const { stream, sent } = await begun(t)
  const [first, second] = [stream.disconnect(), stream.disconnect()]
  t.same(await first, { reason: 'disconnected', closeCode: 1000 })
  t.same(await second, await first)
  t.same(sent, [{ type: 'disconnect' }])
})

test('if jambonz ignores disconnect, the socket is closed after 2 s; if the close is ignored, it is destroyed', async (t) => {
  const { live, socket, sent } = await streamPair(t)
  const before = performance.now()
  const done = live.end('drained')
  await until(() => sent.length === 1)
  socket.pause()
  t.match(await done, { reason: 'drained', closeCode: 1006 })
  const took = performance.now() - before
  t.ok(took > 3_500 && took < 7_000, `${took} ms`)
})

test('if jambonz does not end one listen as asked within 2 s, the plugin sends disconnect over the socket', async (t) => {
  const { live, socket, sent } = await streamPair(t)
  const reasons: string[] = []
  live.onEnding = (reason) => reasons.push(reason)
  live.onEndAlone = async () => true
  const before = performance.now()
  const done = live.end('timeout')
  await until(() => sent.length === 1)
  const took = performance.now() - before
  t.ok(took > 1_900, `asked over the socket after ${took} ms`)
  t.same(sent, [{ type: 'disconnect' }])
  t.same(reasons, ['timeout'])
  socket.close(1000)
  t.match(await done, { reason: 'timeout' })
})

test('if jambonz ends one listen as asked, the plugin sends nothing over the socket of the listen', async (t) => {
  const { live, socket, sent } = await streamPair(t)
  const reasons: string[] = []
  live.onEnding = (reason) => reasons.push(reason)
  live.onEndAlone = async () => {
    socket.close(1000)
    return true
  }
  t.same(await live.end('disconnected'), { reason: 'disconnected', closeCode: 1000 })
  t.same([sent, reasons], [[], []])
})

test('if jambonz can not be asked to end one listen, the plugin closes the socket of the listen', async (t) => {
  const { live, sent } = await streamPair(t)
  live.onEndAlone = async () => false
  live.endOrClose('error', 1011, 'handler failed')
  t.match(await live.done, { reason: 'error', closeCode: 1011 })
  t.same(sent, [])
})

test('close() closes the socket with the given code', async (t) => {
  const { live, stream, socket } = await begun(t)
  live.endOrClose('error', 1011, 'handler failed')
  t.match(await closing(socket), { code: 1011, reason: 'handler failed' })
  t.match(await stream.done, { reason: 'error', closeCode: 1011 })
})

test('a zero-length frame flushes the audio and closes the socket', async (t) => {
  const { stream, socket, sink } = await begun(t)
  socket.send(ramp(20))
  socket.send(Buffer.alloc(0))
  t.match(await closing(socket), { code: 1000 })
  t.match(await stream.done, { reason: 'closed' })
  t.ok(sink.audio.equals(ramp(20)))
})

test('a message over maxPayload ends the listen with 1009; the audio before the message is kept', async (t) => {
  const { stream, socket, sink } = await begun(t, { limits: { maxPayload: 100_000 } })
  socket.send(ramp(20))
  await until(() => sink.audio.length === 320)
  socket.send(Buffer.alloc(200_000))
  t.match(await closing(socket), { code: 1009 })
  t.match(await stream.done, { reason: 'error' })
})

test('invalid JSON, invalid UTF-8, unknown types and a flood of text are ignored, and logged once', async (t) => {
  const { stream, socket, sink, log } = await begun(t)
  const messages: unknown[] = []
  stream.on('message', (message) => messages.push(message))
  for (const text of [
    '{',
    '"text"',
    '',
    '[1]',
    '{"type":"json","x":1}',
    '{"event":"dtmf"}',
    '{"type":"mark"}'
  ]) {
    socket.send(text)
  }
  socket.send(Buffer.from([0x7b, 0xff, 0xfe]), { binary: false })
  for (let i = 0; i < 2000; i++) socket.send(`{"n":${i}}`)
  socket.send(ramp(20))
  await until(() => sink.audio.length === 320)
  t.same(messages.slice(0, 3), [{ type: 'json', x: 1 }, { event: 'dtmf' }, { type: 'mark' }])
  t.ok(messages.length < 1100)
  t.equal(log.filter(({ msg }) => /ignored: not a JSON object/.test(msg)).length, 1)
  t.equal(log.filter(({ msg }) => /floods/.test(msg)).length, 1)
  t.equal(socket.readyState, socket.OPEN)
})

test('keys and marks that the application did not set are emitted as events', async (t) => {
  const { stream, socket } = await begun(t)
  const events: unknown[] = []
  stream.on('dtmf', (event) => events.push(event))
  stream.on('mark', (event) => events.push(event))
  socket.send(dtmf('5'))
  socket.send('{"type": "mark", "data": {"name":"theirs", "event": "playout"}}')
  await until(() => events.length === 2)
  t.same(events, [
    { digit: '5', durationMs: 200 },
    { name: 'theirs', event: 'playout' }
  ])
})

test('a listener that throws ends its stream with 1011, even if a timer emits the event', async (t) => {
  const { stream, socket } = await begun(t, {
    listen: { bidirectional: { mode: 'streaming', sampleRate: 8000 } }
  })
  stream.on('mark', () => {
    throw new Error('oops')
  })
  stream.mark('never reported').catch(() => {})
  t.match(await closing(socket), { code: 1011 })
  t.match(await stream.done, { reason: 'error', error: { message: 'oops' } })
})

test('endReason is finishOnKey when a key of finishOnKey was pressed just before the close', async (t) => {
  const { stream, socket } = await watched(t, { finishOnKey: '#' })
  socket.send(dtmf('#'))
  socket.close(1000)
  t.match(await stream.done, { reason: 'finishOnKey' })
  t.equal(stream.digits, '#')
})

test('endReason is maxLength when jambonz closes after maxLength', async (t) => {
  const { stream, socket } = await watched(t, { maxLength: 3 })
  socket.send(ramp(2980))
  socket.close(1000)
  t.match(await stream.done, { reason: 'maxLength' })
})

test('endReason is closed when jambonz closes long before maxLength', async (t) => {
  const { stream, socket } = await watched(t, { maxLength: 60 })
  socket.send(ramp(1500))
  socket.close(1000)
  t.match(await stream.done, { reason: 'closed' })
})

test('the plugin ends a listen 1 s after maxLength if jambonz has not ended it', async (t) => {
  const before = performance.now()
  const { stream, sent } = await watched(t, { maxLength: 0.2 })
  t.match(await stream.done, { reason: 'maxLength' })
  t.ok(performance.now() - before >= 1_190)
  t.same(sent, [{ type: 'disconnect' }])
})

test('each of several keys in finishOnKey ends the listen, other keys do not', async (t) => {
  const { stream, socket } = await watched(t, { finishOnKey: '#*' })
  socket.send(dtmf('5'))
  socket.send(dtmf('*'))
  socket.send(dtmf('#'))
  t.match(await stream.done, { reason: 'finishOnKey' })
  t.equal(stream.digits, '*')
})

test('the plugin ends a config.listen whose finishOnKey is a single key, because jambonz does not', async (t) => {
  const { stream, socket } = await watched(t, { finishOnKey: '#', nested: 'config' })
  socket.send(dtmf('#'))
  t.match(await stream.done, { reason: 'finishOnKey' })
})

test('a listen ends after `timeout` seconds of silence', async (t) => {
  const { stream, socket } = await watched(t, { timeout: 2 })
  const audio = Buffer.concat([
    noise(1900, -60),
    noise(20, -40),
    noise(1900, -60),
    noise(20, -20),
    noise(2100, -60)
  ])
  for (let at = 0; at < audio.length; at += 320) socket.send(audio.subarray(at, at + 320))
  t.match(await stream.done, { reason: 'timeout' })
  t.ok(stream.counts.durationMs >= 5840, `${stream.counts.durationMs} ms`)
})

test('a key, or sound on either channel, restarts the timeout', async (t) => {
  const { stream, socket } = await watched(t, { timeout: 1, mixType: 'stereo' })
  const right = bytesOf(
    Int16Array.from({ length: 320 }, (_, i) => (i % 2 === 0 ? 0 : i % 4 === 1 ? 3000 : -3000))
  )
  for (let i = 0; i < 200; i++) socket.send(right)
  await until(() => stream.counts.frames === 200)
  const silence = Buffer.alloc(640)
  for (let i = 0; i < 48; i++) socket.send(silence)
  socket.send(dtmf('1'))
  for (let i = 0; i < 48; i++) socket.send(silence)
  await until(() => stream.counts.frames === 296)
  t.equal(socket.readyState, socket.OPEN)
  let end: unknown
  stream.done.then((how) => (end = how))
  // Keep sending, as jambonz does. If a slow machine delayed the last frames, they are counted only when more
  // frames arrive.
  await until(() => {
    socket.send(silence)
    return end !== undefined
  })
  t.match(end, { reason: 'timeout' })
})
