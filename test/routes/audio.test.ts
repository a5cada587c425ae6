import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import Fastify from 'fastify'
import websocket from '@fastify/websocket'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import jambonzListen, {
  type AudioStream,
  type Credentials,
  type JambonzListenOptions,
  type Listen
} from '../../lib/index.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { basic, closing, openSocket, statusOf } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

const HEADER_BYTES = 44

async function voicemail(t: Test, options: JambonzListenOptions = {}) {
  const app = await build(t, options)
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
  app.jambonz.actionHook('/done', async ({ listen }) => [{ verb: 'tag', data: { listen } }])
  return { app, base: await listening(app) }
}

async function ended(app: Awaited<ReturnType<typeof build>>): Promise<Listen> {
  const [listen] = (await once(app.jambonz.calls.events, 'listenEnded')) as [Listen]
  return listen
}

/** Resolves to the samples of a recording. It skips all chunks before the data chunk. */
async function samples(location: string): Promise<Buffer> {
  const wav = await readFile(location)
  const data = wav.indexOf('data', 12)
  t.ok(data + 8 >= HEADER_BYTES)
  return wav.subarray(data + 8)
}

t.test('an upgrade is refused if anything about the request is wrong', async (t) => {
  const auth = { username: 'jambonz', password: 'secret' }
  const { app, base } = await voicemail(t, { auth, webhookAuth: { username: 'web', password: 'hook' } })
  const good = basic('jambonz', 'secret')
  const ask = async () => {
    const payload = { call_sid: `c${Math.random()}` }
    const response = await app.inject({ method: 'POST', url: '/in', payload, headers: basic('web', 'hook') })
    return base + response.json()[0].url
  }
  const url = await ask()
  t.equal(await statusOf(url), 401, 'without credentials')
  t.equal(await statusOf(url, { headers: basic('jambonz', 'secre') }), 401, 'with wrong credentials')
  t.equal(await statusOf(`${base}/nowhere`, { headers: good }), 404, 'on an unknown path')
  t.equal(await statusOf(`${base}/audio`, { headers: good }), 404, 'without a token')
  t.equal(await statusOf(url.slice(0, -2) + 'xx', { headers: good }), 404, 'with a broken signature')
  t.equal(
    await statusOf(
      url.replace(/\/audio\/(.)/, (_, digit) => `/audio/${digit === '0' ? '1' : '0'}`),
      { headers: good }
    ),
    404,
    'with another id'
  )
  t.equal(await statusOf(url, { headers: good, protocols: [] }), 400, 'without a subprotocol')
  t.equal(await statusOf(url, { headers: good, protocols: ['chat'] }), 400, 'with another subprotocol')
  t.equal(await statusOf(url, { headers: good }), 101, 'the path still opens a socket after these refusals')
  t.equal(await statusOf(url, { headers: good }), 409, 'with a path that was used before')
  t.equal(
    await statusOf(await ask(), { headers: basic('web', 'hook') }),
    101,
    "jambonz sends the webhooks' credentials to relative urls"
  )
  t.equal(
    await statusOf(await ask(), { headers: good, protocols: ['audio.drachtio.org'] }),
    101,
    'the default subprotocol of mod_audio_fork is accepted'
  )
})

t.test('a socket opens with the credentials that jambonz sends', async (t) => {
  const [auth, webhookAuth, own] = ['a', 'w', 'o'].map((name) => ({
    username: name,
    password: `${name}-secret`
  })) as [Credentials, Credentials, Credentials]
  const publicUrl = 'http://voice.example.com'
  const rows: Array<[what: string, options: JambonzListenOptions, wsAuth?: Credentials]> = [
    ['auth', { auth }],
    ['auth, and another wsAuth in the verb', { auth }, own],
    ['no auth, and a wsAuth in the verb', {}, own],
    ['webhookAuth, which jambonz sends to a relative url instead of all others', { webhookAuth }, own],
    ['webhookAuth, and an absolute url', { webhookAuth, publicUrl }],
    ['webhookAuth, an absolute url and another wsAuth in the verb', { webhookAuth, publicUrl }, own],
    ['auth, webhookAuth and an absolute url', { auth, webhookAuth, publicUrl }]
  ]
  for (const [what, options, wsAuth] of rows) {
    const app = await build(t, options)
    app.jambonz.webhook('/in', async () => [{ verb: 'listen', ...(wsAuth && { wsAuth }) }])
    const base = await listening(app)
    const headers = options.webhookAuth ? basic(webhookAuth.username, webhookAuth.password) : {}
    const [verb] = (
      await app.inject({ method: 'POST', url: '/in', payload: { call_sid: 'c1' }, headers })
    ).json<[{ url: string; wsAuth?: Credentials }]>()
    const sent = (verb.url.startsWith('/') ? options.webhookAuth : undefined) ?? verb.wsAuth
    if (wsAuth) t.same(verb.wsAuth, wsAuth, `${what}: the wsAuth of the verb is not replaced`)
    const url = base + verb.url.replace('ws://voice.example.com', '')
    if (options.auth ?? options.webhookAuth) {
      t.equal(
        await statusOf(url, { headers: basic('x', 'y') }),
        401,
        `${what}: other credentials are refused`
      )
    }
    t.equal(await statusOf(url, { headers: sent && basic(sent.username, sent.password) }), 101, what)
  }
})

t.test('if two sockets with the same path arrive at once, one is accepted', async (t) => {
  const { app, base } = await voicemail(t)
  const { url } = await askForListen(app, '/in', base)
  const statuses = await Promise.all([statusOf(url), statusOf(url), statusOf(url)])
  t.same(statuses.sort(), [101, 409, 409])
})

t.test('a path signed for one audio route is refused at another', async (t) => {
  const app = await build(t)
  app.jambonz.audio('/other', () => {})
  app.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
  const { url } = await askForListen(app, '/in')
  t.equal(await statusOf(url.replace('/audio/', '/other/')), 404)
})

t.test("the path of a long callSid fits the host's limit for a parameter", async (t) => {
  const app = await build(t, { fastify: { routerOptions: { maxParamLength: 20 } } })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
  const base = await listening(app)
  for (const callSid of [crypto.randomUUID(), crypto.randomUUID().toUpperCase(), 'x'.repeat(128)]) {
    const response = await app.inject({ method: 'POST', url: '/in', payload: { call_sid: callSid } })
    t.equal(await statusOf(base + response.json()[0].url), 101, callSid)
  }
})

t.test('sockets beyond limits.maxStreams are refused; a drained instance refuses all sockets', async (t) => {
  const { app, base } = await voicemail(t, { limits: { maxStreams: 1 } })
  const first = await (await askForListen(app, '/in', base)).open()
  const second = await askForListen(app, '/in', base)
  t.equal(await statusOf(second.url), 503)
  const over = ended(app)
  first.send('{}')
  first.close(1000)
  await over
  t.equal(await statusOf(second.url), 101, 'after a socket has closed, another one is accepted')
  await app.jambonz.drain()
  t.equal(await statusOf((await askForListen(app, '/in', base)).url), 503)
})

t.test('with limits.maxStreams 10, five of 15 sockets at once are refused', async (t) => {
  const { app, base } = await voicemail(t, { limits: { maxStreams: 10 } })
  const listens = await Promise.all(Array.from({ length: 15 }, () => askForListen(app, '/in', base)))
  // The sockets stay open. So no socket makes room for another before all of them have arrived.
  const opened = await Promise.allSettled(listens.map(async (listen) => await listen.open()))
  t.equal(opened.filter(({ status }) => status === 'fulfilled').length, 10)
  for (const result of opened) {
    if (result.status === 'rejected') t.match(String(result.reason), /503/)
  }
})

t.test('a socket that arrives while the server closes is refused', { timeout: 10_000 }, async (t) => {
  for (const own of [true, false]) {
    const app = Fastify()
    if (own) await app.register(websocket)
    await app.register(jambonzListen)
    app.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
    let url = ''
    let status: number | undefined
    // The socket is requested in a preClose hook, because the server still listens at that time.
    app.addHook('preClose', async () => {
      status = await statusOf(url)
    })
    t.teardown(() => app.close())
    url = (await askForListen(app, '/in', await listening(app))).url
    await app.close()
    t.equal(status, 503)
  }
})

t.test('the audio of a call is recorded, byte for byte', async (t) => {
  const directory = folder()
  const { app, base } = await voicemail(t, { recording: { directory } })
  const asked = await askForListen(app, '/in', base)
  const pcm = ramp(500)
  const socket = await asked.open()
  socket.send(asked.metadata())
  socket.send(pcm.subarray(0, 640))
  for (let at = 640; at < pcm.length; at += 320) socket.send(pcm.subarray(at, at + 320))
  const over = ended(app)
  socket.close(1000)
  const listen = await over
  t.match(listen, {
    id: asked.id,
    state: 'ended',
    connected: true,
    endReason: 'closed',
    mixType: 'mono',
    sampleRate: 8000,
    audio: { frames: 24, bytes: pcm.length, durationMs: 500 },
    recording: { format: 'wav', durationMs: 500 }
  })
  t.ok(listen.recording!.location.startsWith(directory))
  t.same(await samples(listen.recording!.location), pcm)
  t.match(await app.jambonz.calls.get(asked.callSid), { listens: [listen] }, 'the store has the same listen')
})

t.test('if the first frame does not name the call, the path identifies the call', async (t) => {
  const directory = folder()
  const { app, base } = await voicemail(t, { recording: { directory } })
  const pcm = ramp(100)
  const rows: Array<[what: string, first: (metadata: string) => string | Buffer | undefined]> = [
    ['a binary first frame', () => undefined],
    ['broken JSON', (metadata) => metadata.replace('"callSid"', '"O"Brien" "callSid"')],
    ['JSON cut off', (metadata) => metadata.slice(0, 60)],
    ['JSON that is not an object', () => '[1]'],
    [
      "another call's callSid",
      (metadata) => JSON.stringify({ ...JSON.parse(metadata), callSid: 'somebody-else' })
    ]
  ]
  for (const [what, first] of rows) {
    const asked = await askForListen(app, '/in', base)
    const socket = await asked.open()
    const over = ended(app)
    const frame = first(asked.metadata())
    if (frame !== undefined) socket.send(frame)
    socket.send(pcm)
    socket.close(1000)
    const listen = await over
    t.match(listen, { id: asked.id, callSid: asked.callSid, audio: { bytes: pcm.length } }, what)
    t.same(await samples(listen.recording!.location), pcm, what)
  }
})

t.test(
  'if an instance does not know a listen, it records the audio in the format that the first frame names',
  async (t) => {
    const secret = 'shared by both instances'
    const { app: asking } = await voicemail(t, { secret })
    const { app, base } = await voicemail(t, { secret, recording: { directory: folder() } })
    asking.jambonz.calls.events.on('listenEnded', () =>
      t.fail('the instance without the socket ended the listen')
    )
    const { url, metadata } = await askForListen(asking, '/in', base)
    const socket = await openSocket(url)
    const over = ended(app)
    const pcm = ramp(100, 32_000)
    socket.send(metadata({ sampleRate: 16_000, mixType: 'stereo' }))
    socket.send(pcm)
    socket.close(1000)
    const listen = await over
    t.match(listen, {
      mixType: 'stereo',
      channels: 2,
      sampleRate: 16_000,
      path: '/audio',
      recording: { channels: 2, sampleRate: 16_000, durationMs: 100 }
    })
    t.same(await samples(listen.recording!.location), pcm)
  }
)

t.test('a socket that sends nothing is closed after metadataTimeout', async (t) => {
  const { app, base } = await voicemail(t, { limits: { metadataTimeout: 50 } })
  const socket = await (await askForListen(app, '/in', base)).open()
  t.match(await closing(socket), { code: 1008, reason: /50 ms/ })
})

t.test('an audio handler gets the stream, including all audio from before its first read', async (t) => {
  const app = await build(t)
  const got = new Promise<{ pcm: Buffer; stream: AudioStream }>((resolve, reject) => {
    app.jambonz.audio('/live', async function (stream) {
      t.equal(this, app)
      await app.jambonz.calls.get(stream.callSid)
      await new Promise((resolve) => setImmediate(resolve))
      const frames: Buffer[] = []
      for await (const frame of stream) frames.push(frame as Buffer)
      resolve({ pcm: Buffer.concat(frames), stream })
    })
    app.jambonz.calls.events.on('recordingFailed', reject)
  })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', url: '/live', metadata: { agent: "O'Brien" } }])
  const asked = await askForListen(app, '/in')
  const socket = await asked.open()
  // Metadata, audio and close are sent at once, so that they arrive in the same segment.
  const sent = ramp(200)
  socket.send(asked.metadata().replace("'", ''))
  for (let at = 0; at < sent.length; at += 320) socket.send(sent.subarray(at, at + 320))
  socket.close(1000)
  const { pcm, stream } = await got
  t.same(pcm, sent)
  t.match(stream, { callSid: asked.callSid, sampleRate: 8000, channels: 1, mixType: 'mono' })
  t.equal(
    stream.metadata?.agent,
    "O'Brien",
    'metadata has the value from the verb, not the damaged value of the frame'
  )
})

t.test(
  'if an audio handler throws, its socket closes with 1011, its recording is kept, other calls continue',
  async (t) => {
    const directory = folder()
    const lines: string[] = []
    const app = await build(t, {
      recording: { directory },
      fastify: {
        logger: {
          level: 'error',
          stream: {
            write: (line: string) => {
              lines.push(line)
            }
          }
        }
      }
    })
    app.jambonz.audio('/bad', async (stream) => {
      await once(stream, 'data')
      throw new Error('stt is down')
    })
    app.jambonz.webhook('/bad', async () => [{ verb: 'listen', url: '/bad' }])
    app.jambonz.webhook('/good', async () => [{ verb: 'listen' }])
    const base = await listening(app)
    const good = await askForListen(app, '/good', base)
    const goodSocket = await good.open()
    goodSocket.send(good.metadata())
    const bad = await askForListen(app, '/bad', base)
    const badSocket = await bad.open()
    const over = ended(app)
    badSocket.send(bad.metadata())
    badSocket.send(ramp(100))
    t.match(await closing(badSocket), { code: 1011 })
    const listen = await over
    t.match(listen, { id: bad.id, endReason: 'error', recording: { durationMs: 100 } })
    t.equal(lines.length, 1, lines.join(''))
    t.match(JSON.parse(lines[0]!), {
      callSid: bad.callSid,
      listenId: bad.id,
      err: { message: 'stt is down' }
    })

    const goodOver = ended(app)
    goodSocket.send(ramp(100))
    goodSocket.close(1000)
    t.match(await goodOver, { id: good.id, endReason: 'closed', audio: { durationMs: 100 } })
  }
)

t.test('if the host has registered @fastify/websocket, the plugin uses it', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(websocket)
  app.get('/own', { websocket: true }, (socket) => {
    socket.send('mine')
  })
  await app.register(jambonzListen)
  app.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
  const base = await listening(app)
  t.equal(await statusOf((await askForListen(app, '/in', base)).url), 101)
  const own = new WebSocket(`${base.replace('http', 'ws')}/own`)
  t.equal(String((await once(own, 'message'))[0]), 'mine')
  own.terminate()
})

t.test('closing the application ends the streams and keeps their recordings', async (t) => {
  const directory = folder()
  const { app, base } = await voicemail(t, { recording: { directory } })
  const asked = await askForListen(app, '/in', base)
  const socket = await asked.open()
  socket.send(asked.metadata())
  socket.send(ramp(100))
  socket.on('message', (data) => {
    if (JSON.parse(String(data)).type === 'disconnect') socket.close(1000)
  })
  await once(app.jambonz.calls.events, 'stream')
  const over = ended(app)
  await app.close()
  t.match(await over, { endReason: 'drained', recording: { durationMs: 100 } })
})

t.test(
  'with strict: false, the callSid is found in a first frame of invalid JSON, or a callSid is made up',
  async (t) => {
    const { app, base } = await voicemail(t, { strict: false, recording: { directory: folder() } })
    const whole = JSON.stringify({
      callSid: 'c 1',
      from: "O'B",
      mixType: 'stereo',
      sampleRate: 16_000,
      to: 'x'
    })
    const rows: Array<[what: string, first: string | Buffer | undefined, found: boolean]> = [
      ['a stray quote behind the JSON', `${whole}'`, true],
      ['a word before the JSON', `uuid ${whole}`, true],
      ['a BOM', `\ufeff${whole}`, true],
      ['an unescaped quote in the JSON', whole.replace("O'B", 'O"B'), true],
      ['cut off', whole.slice(0, -8), true],
      ['cut in the middle of the callSid', whole.slice(0, 14), false],
      ['a text without a callSid', 'hello', false],
      ['a text too long for a close reason: 200 characters of three bytes', '\u20ac'.repeat(200), false],
      ['audio', undefined, false]
    ]
    for (const [what, first, found] of rows) {
      const socket = await openSocket(`${base}/audio`)
      const over = ended(app)
      if (first !== undefined) socket.send(first)
      const pcm = ramp(100)
      socket.send(pcm)
      socket.close(1000)
      const listen = await over
      t.match(listen, { callSid: found ? 'c 1' : /^unnamed-/, audio: { bytes: pcm.length } }, what)
      t.same(await samples(listen.recording!.location), pcm, what)
      if (found) t.match(listen, { mixType: 'stereo', sampleRate: 16_000 }, what)
    }
  }
)

t.test('with strict: false, sockets without a listen of this application are served', async (t) => {
  const { app, base } = await voicemail(t, { strict: false })
  const url = `${base}/audio`
  const socket = await openSocket(url)
  const over = ended(app)
  socket.send(JSON.stringify({ callSid: 'elsewhere', mixType: 'stereo', sampleRate: 16_000, from: 'x' }))
  socket.send(ramp(100, 32_000))
  socket.close(1000)
  t.match(await over, {
    callSid: 'elsewhere',
    mixType: 'stereo',
    channels: 2,
    sampleRate: 16_000,
    audio: { durationMs: 100 }
  })
  t.match(await app.jambonz.calls.get('elsewhere'), { from: 'x', listens: [{ state: 'ended' }] })

  const asked = await askForListen(app, '/in', base)
  const named = await openSocket(url)
  const namedOver = ended(app)
  named.send(asked.metadata())
  named.close(1000)
  t.match(
    await namedOver,
    { id: asked.id, callSid: asked.callSid },
    'the listen has the id from the metadata'
  )

  const nested = await askForListen(app, '/in', base)
  const leg = await openSocket(url)
  const legOver = ended(app)
  leg.send(nested.metadata({ callSid: 'b-leg', parentCallSid: nested.callSid, jambonzListenId: undefined }))
  leg.close(1000)
  t.match(
    await legOver,
    { id: nested.id, callSid: nested.callSid, legCallSid: 'b-leg' },
    'parentCallSid does'
  )

  for (const sampleRate of [0, -8000, 1e12, 8000.5, '16000']) {
    const odd = await openSocket(url)
    const oddOver = ended(app)
    odd.send(JSON.stringify({ callSid: 'odd', mixType: 7, sampleRate }))
    odd.send(ramp(100))
    odd.close(1000)
    t.match(
      await oddOver,
      { mixType: 'mono', sampleRate: 8000, audio: { durationMs: 100 } },
      `invalid values are replaced by jambonz' defaults: ${sampleRate}`
    )
  }

  const nameless = await openSocket(url)
  nameless.send('{"from":"nobody"}')
  t.match(await closing(nameless), { code: 1008 })
})

t.test('an open socket keeps its request in memory only for a hook that waits for its end', async (t) => {
  for (const waits of [false, true]) {
    const app = Fastify()
    t.teardown(() => app.close())
    const responses: ServerResponse[] = []
    let closed = 0
    app.addHook('onRequest', (request, reply, done) => {
      if (request.raw.headers.upgrade !== undefined) {
        responses.push(reply.raw)
        if (waits) reply.raw.once('close', () => closed++)
      }
      done()
    })
    await app.register(jambonzListen)
    app.jambonz.webhook('/in', () => [{ verb: 'listen', actionHook: '/done' }])
    const base = await listening(app)
    const payload = { call_sid: `open-${waits}` }
    const response = await app.inject({ method: 'POST', url: '/in', payload })
    const socket = await openSocket(base + response.json()[0].url)
    t.equal(responses.length, 1)
    t.equal(responses[0]?.socket !== null, waits, waits ? 'a hook waits' : 'no hook waits')
    socket.close()
    await closing(socket)
    await until(() => closed === Number(waits), 'the hook that waits')
  }
})

t.test('jambonz.streams has the streams that are live, and finds them by callSid or listen id', async (t) => {
  const { app, base } = await voicemail(t)
  const { calls, streams } = app.jambonz
  const began: boolean[] = []
  calls.events.on('stream', (stream) => {
    began.push(streams.get(stream.listen.id) === stream && streams.get(stream.callSid) === stream)
  })
  const first = await askForListen(app, '/in', base)
  t.same(streams.list(), [], 'a listen that jambonz was asked for is no stream')
  const socket = await first.open()
  socket.send(first.metadata())
  const second = await askForListen(app, '/in', base)
  const other = await second.open()
  other.send(second.metadata({ callSid: 'leg-of-second' }))
  await until(() => began.length === 2, 'both streams')
  t.same(began, [true, true], 'a listener of `stream` finds the stream')
  t.same(
    streams.list().map(({ listen }) => listen.id),
    [first.id, second.id],
    'the oldest comes first'
  )
  t.equal(streams.get('leg-of-second')?.listen.id, second.id)
  t.equal(streams.get('nobody'), undefined)
  socket.close()
  await streams.get(first.id)?.done
  t.equal(streams.get(first.callSid), undefined, 'a stream whose socket has closed is not live')
  t.same(
    streams.list().map(({ callSid }) => callSid),
    [second.callSid]
  )
  other.close()
})
