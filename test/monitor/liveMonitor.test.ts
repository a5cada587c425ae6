import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { liveOf } from '../../lib/audio/stream/AudioStream.js'
import type { AudioStream } from '../../lib/index.js'
import { redisStore } from '../../lib/store/redis.js'
import liveMonitor from '../../lib/monitor/index.js'
import { build, folder, listening, type BuildOptions } from '../helpers/build.js'
import { askForListen, ramp, type AskedListen } from '../helpers/listen.js'
import { MonitorPage, openMonitor, openSupervisor } from '../helpers/monitorPage.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { closing, statusOf } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

const WARM_UP = 100
const VISITS = 300
/** bytes of heap that a visit may leave on average, because the measurement is not exact */
const MOST_LEFT = 1_500

// These tests spend most of their time waiting, so they run side by side.
t.jobs = 6

/**
 * Starts an application that listens to each caller. Resolves to the application and the address of its
 * monitor.
 */
async function monitored(
  t: Test,
  options: BuildOptions = {},
  verb: object = {}
): Promise<{ app: FastifyInstance; address: string; url: string }> {
  const app = await build(t, options)
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', ...verb }])
  app.jambonz.audio('/agent', () => {})
  app.jambonz.statusHook('/status')
  await app.register(liveMonitor, { prefix: '/desk' })
  const address = await listening(app)
  return { app, address, url: `${address}/desk/live` }
}

/**
 * Opens the socket of a listen. The result's `say()` sends audio, and resolves when the audio has arrived.
 */
async function streaming(app: FastifyInstance, address: string) {
  const live = new Promise<AudioStream>((resolve) => app.jambonz.calls.events.once('stream', resolve))
  const listen: AskedListen = await askForListen(app, '/in', address)
  const socket = await listen.open()
  socket.send(listen.metadata())
  let sent = 0
  async function say(pcm: Buffer): Promise<void> {
    socket.send(pcm)
    sent += pcm.length
    const stream = await live
    await until(() => stream.counts.bytes >= sent, 'the audio to arrive')
  }
  await say(Buffer.alloc(320))
  return { ...listen, socket, say, stream: await live }
}

/**
 * Sends silence after a pause until the stream is public again. Audio that may have been said in the pause
 * stays private, even if a slow machine sends it late.
 */
async function sayUntilPublic({ say, stream }: Awaited<ReturnType<typeof streaming>>): Promise<void> {
  while (liveOf(stream).isHidden) await say(Buffer.alloc(320))
}

/** Returns the samples that are not silence, as bytes. */
function withoutSilence(pcm: Buffer): Buffer {
  const samples = new Int16Array(pcm.buffer.slice(pcm.byteOffset, pcm.byteOffset + pcm.length))
  return Buffer.from(samples.filter((sample) => sample !== 0).buffer)
}

t.test('registering the live monitor without the plugin is an error', async (t) => {
  const app = Fastify()
  await t.rejects(async () => await app.register(liveMonitor), {
    code: 'FST_JAMBONZ_MONITOR',
    message: /register fastify-jambonz-listen before its monitor/
  })
})

t.test('both websocket routes have the prefix and the hooks of their scope', async (t) => {
  const app = await build(t)
  await app.register(async (scope) => {
    scope.addHook('onRequest', async (_request, reply) => await reply.code(401).send())
    await scope.register(liveMonitor, { prefix: '/desk' })
  })
  const address = await listening(app)
  t.equal(await statusOf(`${address}/desk/live`), 401)
  t.equal(await statusOf(`${address}/desk/live/x`), 401)
})

t.test("a page gets a call's events from the webhook to the end of the call, without secrets", async (t) => {
  const { app, address, url } = await monitored(t)
  const page = await openMonitor(t, url)
  t.match(await page.state('the first state', () => true), {
    instance: app.jambonz.instance,
    draining: false,
    store: { available: true },
    calls: []
  })
  await until(() => page.levels.length > 0, 'the first levels')

  const { id, callSid, socket } = await streaming(app, address)
  const {
    calls: [call]
  } = await page.state('the stream', ({ calls }) => calls[0]?.listens[0]?.state === 'streaming')
  t.match(call, { callSid, isOver: false, listens: [{ id, instance: app.jambonz.instance }] })
  t.same(
    ['customerData', 'envVars', 'application'].filter((key) => key in call!),
    []
  )
  await app.jambonz.calls.update(callSid, { note: 'vip' })
  await page.state('what the application noted', ({ calls }) => calls[0]?.data.note === 'vip')
  const second = await openMonitor(t, url)
  await second.state('the call, at once', ({ calls }) => calls.length === 1)

  socket.close()
  t.match(
    await page.state('the end of the call', ({ calls }) => calls[0]?.isOver),
    { calls: [{ listens: [{ state: 'ended' }] }] },
    'the call is over, although jambonz sent no status event'
  )
  await app.inject({
    method: 'POST',
    url: '/status',
    payload: { call_sid: callSid, call_status: 'completed' }
  })
  await page.state('its end', ({ calls }) => calls[0]?.endedAt)
  await app.jambonz.drain()
  await page.state('the drain', ({ draining }) => draining)
})

t.test('levels of each channel are sent 20 times a second, and computed only for a page', async (t) => {
  const { app, address, url } = await monitored(t, {}, { mixType: 'stereo' })
  const { id, say, stream } = await streaming(app, address)
  t.equal(stream.listenerCount('audio'), 0, 'nobody watches')
  const pages = [await openMonitor(t, url), await openMonitor(t, url)]
  const [page] = pages as [MonitorPage, MonitorPage]
  await until(() => page.of(id).length > 0, 'levels')
  t.match(page.of(id).at(-1), {
    isSpokenTo: false,
    gapMs: 0,
    peaks: [
      [0, 0],
      [0, 0]
    ]
  })
  t.equal(page.of(id).at(-1)?.recording, undefined, 'the call is not recorded')

  const [left, right] = [20_000, -10_000]
  await say(Buffer.from(Int16Array.from({ length: 320 }, (_, at) => (at % 2 === 0 ? left : right)).buffer))
  const loud = await until(() => page.of(id).find(({ peaks }) => peaks[0]![1] > 0), 'the level of the speech')
  t.same(loud.peaks, [
    [0, left >> 8],
    [right >> 8, 0]
  ])
  await until(() => page.of(id).at(-1)!.peaks[0]![1] === 0, 'the level of the silence after the speech')
  const from = page.levels.at(-1)!.now
  const later = await until(() => page.levels.find(({ now }) => now >= from + 500), 'half a second')
  const count = page.levels.filter(({ now }) => now > from && now <= later.now).length
  t.ok(count >= 4 && count <= 12, `${count} messages in ${later.now - from} ms`)

  for (const { socket } of pages) socket.close()
  await until(() => stream.listenerCount('audio') === 0, 'the monitor to stop measuring')
})

t.test('the levels show what the application says to the caller', async (t) => {
  const { app, address, url } = await monitored(
    t,
    {},
    { url: '/agent', bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8000 } }
  )
  const page = await openMonitor(t, url)
  const { id, stream } = await streaming(app, address)
  stream.write(ramp(1_000))
  await until(() => page.of(id).some(({ isSpokenTo }) => isSpokenTo), "the application's audio to begin")
  stream.clear()
  await until(() => page.of(id).at(-1)?.isSpokenTo === false, 'the interruption')
})

t.test('every supervisor hears every byte until the stream ends', async (t) => {
  const warnings: Error[] = []
  const warn = (warning: Error) => warnings.push(warning)
  process.on('warning', warn)
  t.teardown(() => process.off('warning', warn))
  const { app, address, url } = await monitored(t)
  const { id, say, stream, socket } = await streaming(app, address)
  const supervisors = await Promise.all(Array.from({ length: 30 }, () => openSupervisor(t, `${url}/${id}`)))
  await until(() => stream.listenerCount('audio') === 30, 'all supervisors to listen')
  for (let i = 0; i < 10; i++) await say(ramp(100))
  const ends = supervisors.map(({ socket }) => closing(socket))
  socket.close()
  t.same(new Set((await Promise.all(ends)).map(({ code }) => code)), new Set([1000]))
  const said = Buffer.concat(Array.from({ length: 10 }, () => ramp(100)))
  t.ok(
    supervisors.every(({ heard }) => heard.equals(said)),
    'each supervisor has the audio from the time of the visit'
  )
  t.same(warnings, [])

  const late = await openSupervisor(t, `${url}/${id}`)
  t.match(await closing(late.socket), { code: 1008, reason: 'this instance has no such stream' })
})

t.test("a supervisor hears a listen whose id is longer than the router's maxParamLength", async (t) => {
  const { app, address, url } = await monitored(t, { fastify: { routerOptions: { maxParamLength: 10 } } })
  const { id, say, stream } = await streaming(app, address)
  const { heard } = await openSupervisor(t, `${url}/${encodeURIComponent(id)}`)
  t.equal(heard.length, 0)
  await until(() => stream.listenerCount('audio') === 1, 'the supervisor to listen')
  await say(ramp(100))
})

t.test('no audio is prepared for a supervisor who has left', async (t) => {
  const { app, address, url } = await monitored(t)
  const { id, stream } = await streaming(app, address)
  const [one, other] = [await openSupervisor(t, `${url}/${id}`), await openSupervisor(t, `${url}/${id}`)]
  await until(() => stream.listenerCount('audio') === 2, 'both supervisors to listen')
  one.socket.close()
  other.socket.terminate()
  await until(() => stream.listenerCount('audio') === 0, 'no supervisor to listen')
})

t.test('audio of a paused recording is not sent to supervisors', async (t) => {
  const { app, address, url } = await monitored(t, { recording: { directory: folder() } })
  const streamed = await streaming(app, address)
  const { id, say, stream } = streamed
  const [page, supervisor] = [await openMonitor(t, url), await openSupervisor(t, `${url}/${id}`)]
  await until(
    () => page.of(id).at(-1)?.recording === 'recording' && stream.listenerCount('audio') === 2,
    'page and supervisor to listen'
  )
  const [before, number, after] = [ramp(100), Buffer.alloc(1_600, 7), ramp(60)]
  await say(before)
  stream.recording?.pause()
  await say(number)
  await until(() => page.of(id).at(-1)?.recording === 'paused', 'the page to show the pause')
  stream.recording?.resume()
  await sayUntilPublic(streamed)
  await say(after)
  const all = withoutSilence(Buffer.concat([before, after]))
  await until(() => withoutSilence(supervisor.heard).length >= all.length, 'the rest')
  t.ok(withoutSilence(supervisor.heard).equals(all))
})

t.test(
  'private audio is sent to no supervisor, even if the recording failed or the call is not recorded',
  async (t) => {
    const sink = () => {
      throw new Error('no disk')
    }
    for (const options of [{ recording: { sink } }, {}]) {
      const { app, address, url } = await monitored(t, options)
      const streamed = await streaming(app, address)
      const { id, say, stream } = streamed
      const supervisor = await openSupervisor(t, `${url}/${id}`)
      await until(() => stream.listenerCount('audio') === 1, 'the supervisor')
      const [before, number, after] = [ramp(100), Buffer.alloc(1_600, 7), ramp(60)]
      await say(before)
      if (stream.recording) {
        await until(() => stream.recording?.state === 'failed', 'the recording to fail')
        stream.recording.pause()
      } else stream.beginPrivacy()
      t.equal(stream.isPrivate, true)
      await say(number)
      if (stream.recording) stream.recording.resume()
      else stream.endPrivacy()
      await sayUntilPublic(streamed)
      await say(after)
      const all = withoutSilence(Buffer.concat([before, after]))
      await until(() => withoutSilence(supervisor.heard).length >= all.length, 'the rest')
      t.ok(withoutSilence(supervisor.heard).equals(all))
    }
  }
)

t.test('a supervisor hears the caller and the application, but neither of them in a pause', async (t) => {
  for (const mixType of ['mono', 'stereo']) {
    const { app, address, url } = await monitored(
      t,
      {},
      {
        url: '/agent',
        mixType,
        bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8000 }
      }
    )
    const { id, socket, stream } = await streaming(app, address)
    const [page, supervisor] = [await openMonitor(t, url), await openSupervisor(t, `${url}/${id}`)]
    await until(() => stream.listenerCount('audio') === 2, 'both supervisors to listen')
    // Each voice has its own sample value. The caller: 1,000; the other channel of a stereo stream: 0; the
    // application: 2,000 before the pause, 3,000 during it, and 4,000 after it.
    const caller = Buffer.from(
      Int16Array.from({ length: 160 * stream.channels }, (_, at) => (at % stream.channels === 0 ? 1_000 : 0))
        .buffer
    )
    const speaking = setInterval(() => socket.send(caller), 20)
    t.teardown(() => clearInterval(speaking))
    const samplesOf = (channel: number) => {
      const pcm = supervisor.heard
      return Array.from({ length: pcm.length / 4 }, (_, at) => pcm.readInt16LE((at * 2 + channel) * 2))
    }
    const isHeard = (value: number) => samplesOf(1).filter((sample) => sample === value).length
    const say = (value: number) => {
      const utterance = stream.utterance()
      utterance.write(Buffer.from(new Int16Array(1_600).fill(value).buffer))
      utterance.end()
      return utterance.done
    }
    // Send the audio repeatedly. A frame that may follow a gap goes to a supervisor without the application's
    // audio.
    await until(async () => {
      await say(2_000)
      return isHeard(2_000) >= 1_600
    }, `${mixType}: the application to be heard`)
    stream.beginPrivacy()
    await say(3_000)
    stream.endPrivacy()
    // Send the audio repeatedly. Audio that may belong to the pause, because it arrives late, is private too.
    await until(async () => {
      await say(4_000)
      return isHeard(4_000) > 0
    }, `${mixType}: the audio after the pause`)
    t.equal(isHeard(3_000), 0, `${mixType}: no audio of the pause`)
    t.ok(
      samplesOf(0).every((sample) => sample === 1_000),
      `${mixType}: the caller is on the left`
    )
    t.ok(
      page.of(id).some(({ peaks }) => peaks.length === 2 && peaks[1]![1] >= 2_000 >> 8),
      `${mixType}: the levels show both voices`
    )
  }
})

t.test('a supervisor who disconnects leaves no listener on the stream', async (t) => {
  const { app, address, url } = await monitored(t)
  const { id, stream } = await streaming(app, address)
  const visit = async () => {
    const supervisor = await openSupervisor(t, `${url}/${id}`)
    await until(() => stream.listenerCount('audio') === 1, 'the supervisor to listen')
    supervisor.socket.terminate()
    await until(() => stream.listenerCount('audio') === 0, 'the supervisor to be gone')
  }
  await visit()
  // Counts calls of `done.then()` while supervisors come and go. There must be none, because a promise keeps each
  // callback until it settles.
  const then = t.capture(stream.done, 'then', stream.done.then)
  for (let visits = 0; visits < 5; visits++) await visit()
  t.equal(then().length, 0)
})

t.test(
  'a supervisor on a stalled connection misses audio; the call and other supervisors do not',
  async (t) => {
    const { app, address, url } = await monitored(
      t,
      { recording: { directory: folder() } },
      { sampleRate: 48_000 }
    )
    const { id, say, stream, socket } = await streaming(app, address)
    const [stuck, other] = [await openSupervisor(t, `${url}/${id}`), await openSupervisor(t, `${url}/${id}`)]
    await until(() => stream.listenerCount('audio') === 2, 'both supervisors to listen')
    stuck.socket.pause()
    let waiting = 0
    // Send about 10 MB, which is more than the kernel buffers for a socket that is not read.
    const frame = ramp(1_000, 48_000)
    for (let i = 0; i < 100; i++) {
      await say(frame)
      await until(() => other.frames.length > i, 'the other supervisor to hear the frame')
      for (const { bufferedAmount } of app.websocketServer.clients) {
        waiting = Math.max(waiting, bufferedAmount)
      }
    }
    t.ok(
      waiting > 0 && waiting < 24_000 + frame.length + 100,
      `at most ${waiting} bytes waited for the stalled supervisor: 250 ms and a frame`
    )
    const saved = new Promise((resolve) => app.jambonz.calls.events.once('recording', resolve))
    socket.close()
    t.match(await saved, { durationMs: 100_003 }, 'all audio is recorded')
    const ended = closing(stuck.socket)
    stuck.socket.resume()
    await ended
    t.ok(
      stuck.frames.length > 0 && stuck.frames.length < 100,
      `the stalled supervisor heard ${stuck.frames.length} of 100 frames`
    )
  }
)

t.test('a stalled page is disconnected before it takes much memory', async (t) => {
  const { app, address, url } = await monitored(t)
  const { callSid } = await askForListen(app, '/in', address)
  const page = await openMonitor(t, url)
  await page.state('the call', ({ calls }) => calls.length === 1)
  page.socket.pause()
  const [client] = app.websocketServer.clients
  let waiting = 0
  let note = 0
  await until(
    async () => {
      await app.jambonz.calls.update(callSid, { note: String(note++).repeat(500_000) })
      waiting = Math.max(waiting, client!.bufferedAmount)
      return !app.websocketServer.clients.has(client!)
    },
    'the stalled page to be disconnected',
    60_000
  )
  t.ok(waiting < 12_000_000, `at most ${waiting} bytes waited for the page`)
})

t.test('a page gets all of 2,000 calls, then only changes', async (t) => {
  const { app, url } = await monitored(t)
  const sids = Array.from({ length: 2_000 }, (_, i) => `call-${String(i).padStart(4, '0')}`)
  for (const callSid of sids) await app.jambonz.calls.update(callSid, {})
  const page = await openMonitor(t, url)
  const first = await page.state('the first state', () => true)
  t.same(new Set(first.calls.map(({ callSid }) => callSid)), new Set(sids))
  await app.jambonz.calls.update('call-1234', { note: 'vip' })
  const second = await page.state('what changed', ({ calls }) => calls[0]?.data.note === 'vip')
  t.same(
    second.calls.map(({ callSid }) => callSid),
    ['call-1234']
  )
  t.equal(page.socket.readyState, WebSocket.OPEN, 'the page is not disconnected')
  // Another page gets the whole state too. The monitor keeps this state, so it does not ask the store again.
  const third = await (await openMonitor(t, url)).state('all of it', () => true)
  t.equal(third.calls.length, 2_000)
  t.same(third.gone, [])
})

t.test('a page gets the callSids of the calls that are no longer stored', async (t) => {
  const { app, url } = await monitored(t)
  await app.inject({ method: 'POST', url: '/in', payload: { call_sid: 'short' } })
  const page = await openMonitor(t, url)
  await page.state('the call', ({ calls }) => calls[0]?.callSid === 'short')
  await app.inject({ method: 'POST', url: '/status', payload: { call_sid: 'short', call_status: 'failed' } })
  await page.state('its end', ({ calls }) => calls[0]?.isOver)
  t.match(await page.state('the call to be gone', ({ gone }) => gone.length > 0, 60_000), {
    gone: ['short'],
    calls: []
  })
})

t.test('a page gets the levels of the streams that it watches; other streams are not measured', async (t) => {
  const { app, address, url } = await monitored(t)
  const [one, other] = [await streaming(app, address), await streaming(app, address)]
  const page = await openMonitor(t, url)
  await until(
    () => page.of(one.id).length > 0 && page.of(other.id).length > 0,
    'the levels of both streams, at first'
  )
  page.socket.send(JSON.stringify({ watch: [one.id] }))
  await until(
    () => other.stream.listenerCount('audio') === 0,
    'the monitor to stop measuring the other stream'
  )
  t.equal(one.stream.listenerCount('audio'), 1)
  await until(() => page.levels.at(-1)?.streams[other.id] === undefined, 'the levels of one stream only')
  t.ok(page.levels.at(-1)?.streams[one.id])
  page.socket.send(JSON.stringify({ watch: [] }))
  await until(() => one.stream.listenerCount('audio') === 0, 'the monitor to stop measuring')
  const { length } = page.levels
  await until(() => page.levels.length > length + 1, 'more messages, without levels')

  for (const wrong of [
    '',
    'null',
    '{"watch":"all"}',
    '{"watch":[1]}',
    `{"watch":["${'x'.repeat(70_000)}"]}`
  ]) {
    const rude = await openMonitor(t, url)
    rude.socket.send(wrong)
    t.match(await closing(rude.socket), { code: 1008, reason: /expected {"watch":/ }, wrong.slice(0, 20))
  }
})

// This test measures the heap, so no other test may run at the same time.
t.test('a page that disconnects leaves no listener on a live call', { buffered: false }, async (t) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const { app, address, url } = await monitored(t)
  const { id, stream } = await streaming(app, address)
  const visit = async (): Promise<void> => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/${id}`)
    await once(socket, 'open')
    socket.close()
    await once(socket, 'close')
    await until(() => stream.listenerCount('audio') === 0, 'the visitor to be gone')
  }
  const heap = async (visits: number): Promise<number> => {
    for (let i = 0; i < visits; i++) await visit()
    gc()
    return process.memoryUsage().heapUsed
  }
  const before = await heap(WARM_UP)
  const each = ((await heap(VISITS)) - before) / VISITS
  t.comment(`${Math.round(each)} bytes per visit`)
  t.ok(each < MOST_LEFT, `${Math.round(each)} bytes per visit`)
})

t.test(
  'a page gets calls of other instances through the store, and a message if the store is unreachable',
  { skip: noRedis() },
  async (t) => {
    const redis = await startRedis(t)
    const secret = 'a secret of both instances'
    const [one, two] = (await Promise.all(
      [0, 1].map(async () => {
        const client = new Redis(redis.url)
        client.on('error', () => {})
        t.teardown(() => client.disconnect())
        return await monitored(t, { secret, store: redisStore(client, { timeout: 100 }) })
      })
    )) as [Awaited<ReturnType<typeof monitored>>, Awaited<ReturnType<typeof monitored>>]
    const page = await openMonitor(t, two.url)
    const { id, socket } = await streaming(one.app, one.address)
    t.match(await page.state('the stream', ({ calls }) => calls[0]?.listens[0]?.state === 'streaming'), {
      instance: two.app.jambonz.instance,
      store: { available: true },
      calls: [{ listens: [{ id, instance: one.app.jambonz.instance }] }]
    })
    t.same(page.of(id), [], 'only the instance that has the call sends its levels')
    socket.close()
    await page.state('its end', ({ calls }) => calls[0]?.isOver)
    await redis.kill()
    await page.state('the store to be unreachable', ({ store }) => !store.available)
  }
)
