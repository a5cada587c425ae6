import t, { type Test } from 'tap'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { setTimeout as delay } from 'node:timers/promises'
import type { WebSocket } from 'ws'
import { parseWav, simulateCall, speechLike, wavOf, type ListenRecord } from '../../lib/simulator/index.js'
import { EventLog } from '../../lib/simulator/events.js'
import { application, ramp, thenKey } from './peers.js'

// Starts a jambonz application on plain Fastify, without this plugin.
async function fastifyApplication(
  t: Test,
  verbs: unknown[],
  onSocket: (socket: WebSocket) => void = () => {}
): Promise<{ app: FastifyInstance; audio: Buffer[]; hooks: unknown[] }> {
  const app = Fastify()
  const audio: Buffer[] = []
  const hooks: unknown[] = []
  await app.register(websocket)
  app.post('/in', async () => verbs)
  app.post('/done', async (request) => {
    hooks.push(request.body)
    return [{ verb: 'hangup' }]
  })
  app.post('/status', async () => ({}))
  app.get('/audio', { websocket: true }, (socket) => {
    socket.on('message', (data: Buffer, binary: boolean) => {
      if (binary) audio.push(data)
    })
    onSocket(socket)
  })
  t.teardown(() => app.close())
  return { app, audio, hooks }
}

const listen = { verb: 'listen', url: '/audio', actionHook: '/done', finishOnKey: '#' }
const speech = { pcm: ramp(8_000), sampleRate: 8_000 }

t.test('a Fastify application gets the same bytes in process as over a port', async (t) => {
  const headers: Array<string | string[] | undefined> = []
  const { app, audio, hooks } = await fastifyApplication(t, [listen])
  app.addHook('onRequest', async (request) => {
    headers.push(request.headers.host, request.headers['sec-websocket-protocol'])
  })
  const story = await simulateCall({ app, hook: '/in', press: '#', speech, statusHook: '/status' })
  t.strictSame(story.errors, [])
  t.equal(app.server.listening, false)
  t.ok(Buffer.concat(audio).equals(thenKey(speech.pcm)))
  t.ok(story.listens[0]!.sent.pcm!.equals(thenKey(speech.pcm)))
  t.match(hooks, [{ digits: '#', dial_call_duration: 1 }])
  t.ok(headers.includes('audio.jambonz.org'))
  t.strictSame(
    story.requests.map(({ kind }) => kind),
    ['webhook', 'status', 'status', 'hook', 'status']
  )
})

t.test('a call has the same story in process and over the network, and in each run', async (t) => {
  const shape = (story: Awaited<ReturnType<typeof simulateCall>>) => ({
    verbs: story.verbs.map(({ verb, startedAtMs, endedAtMs }) => [verb, startedAtMs, endedAtMs]),
    sent: story.listens.map(({ sent, openedAtMs, closedAtMs }) => [
      sent.frames,
      sent.bytes,
      sent.sha256,
      openedAtMs,
      closedAtMs
    ]),
    hooks: story.requests.filter(({ kind }) => kind === 'hook').map(({ atMs }) => atMs)
  })
  const { app } = await fastifyApplication(t, [{ verb: 'say', text: 'hello' }, listen])
  const first = shape(await simulateCall({ app, hook: '/in', press: '#@2s' }))
  t.strictSame(shape(await simulateCall({ app, hook: '/in', press: '#@2s' })), first)
  const url = await app.listen({ port: 0 })
  let settled = false
  const call = simulateCall({ url: `${url}/in`, press: '#@2s' })
    .finally(() => {
      settled = true
    })
    .catch(() => undefined)
  t.strictSame(shape((await call) as Awaited<ReturnType<typeof simulateCall>>), first)
  t.ok(settled, 'finally() of the call ran, as of any promise')
})

t.test('in process, urls under publicUrl reach the application, and other urls the network', async (t) => {
  const outside = await application(t, { '/elsewhere': [] })
  const { app, hooks } = await fastifyApplication(t, [
    { ...listen, url: 'wss://voice.example.com/audio', actionHook: outside.url('/elsewhere') },
    { verb: 'listen', url: '/audio', actionHook: 'https://voice.example.com/done', finishOnKey: '#' }
  ])
  const story = await simulateCall({
    app,
    hook: '/in',
    publicUrl: 'https://voice.example.com',
    press: ['#@1s', '#@2s'],
    speech
  })
  t.strictSame(story.errors, [])
  t.equal(outside.posted.length, 1)
  t.equal(hooks.length, 1)
  t.ok(story.listens.every(({ sent }) => sent.bytes > 0))
})

t.test('a test can make the caller wait, speak, press keys, pause, listen and hang up', async (t) => {
  const { app, audio } = await fastifyApplication(t, [{ ...listen, passDtmf: true }], (socket) => {
    socket.once('message', () =>
      socket.send(
        JSON.stringify({
          type: 'playAudio',
          data: {
            audioContentType: 'raw',
            sampleRate: 8_000,
            audioContent: ramp(4_000, 9_000).toString('base64'),
            id: 'x'
          }
        })
      )
    )
  })
  const call = simulateCall({ app, hook: '/in', speech: null, speed: 20, callSid: 'steered' })
  t.equal(call.callSid, 'steered')
  const record = await call.waitFor('listen:open')
  t.equal(record, call.listens[0])
  await call.waitFor('playDone', ({ data }) => data.id === 'x')
  t.ok(call.heard().pcm.includes(ramp(4_000, 9_000)))
  t.equal(parseWav(call.heard().wav()).sampleRate, 8_000)
  await call.speak(wavOf(ramp(16_000), 16_000))
  await call.speak([{ silenceMs: 50 }, { silenceMs: 50 }])
  call.press('12')
  await call.waitFor('dtmf', ({ digit }) => digit === '2')
  call.pauseListening()
  call.resumeListening()
  await call.speak([{ silenceMs: 150 }, speech])
  call.hangUp()
  const story = await call
  t.equal(story.hangupBy, 'caller')
  t.ok(Buffer.concat(audio).includes(speech.pcm))
  t.throws(() => call.press('1'), { code: 'FST_JAMBONZ_SIM_ENDED' })
  await t.rejects(call.speak(speech), { code: 'FST_JAMBONZ_SIM_ENDED' })
})

t.test(
  'waitFor() resolves to each event once, including past events, and rejects with a reason',
  async (t) => {
    const { app } = await fastifyApplication(t, [
      { verb: 'answer' },
      { verb: 'say', text: 'hi' },
      { verb: 'hangup' }
    ])
    const names: string[] = []
    const call = simulateCall({ app, hook: '/in', onEvent: ({ name }) => names.push(name) })
    const seen: string[] = []
    call
      .on('verb', ({ verb }) => seen.push(verb))
      .once('verb', ({ verb }, atMs) => seen.push(`first ${verb} ${atMs}`))
    const waiting = t.rejects(call.waitFor('listen:open'), {
      code: 'FST_JAMBONZ_SIM_WAIT',
      message: /the call is over without it; seen: .*3 verb/
    })
    await call
    await waiting
    t.strictSame(
      [
        (await call.waitFor('verb')).verb,
        (await call.waitFor('verb', ({ verb }) => verb === 'hangup')).verb,
        (await call.waitFor('verb')).verb
      ],
      ['answer', 'hangup', 'say']
    )
    await t.rejects(call.waitFor('verb'), { code: 'FST_JAMBONZ_SIM_WAIT' })
    t.strictSame(seen, ['answer', 'first answer 0', 'say', 'hangup'])
    t.strictSame(
      names,
      ['webhook', 'verb', 'verb', 'hangup', 'verb', 'end'].sort((a, b) => names.indexOf(a) - names.indexOf(b))
    )
    const slow = simulateCall({ app, hook: '/in', speed: 1 })
    await t.rejects(slow.waitFor('dtmf', undefined, { timeoutMs: 20 }), /did not come within 20 ms/)
    slow.hangUp()
    const log = new EventLog(
      () => 0,
      () => {}
    )
    await t.rejects(log.waitFor('dtmf', undefined, 1), /seen: nothing/)
    for (let i = 0; i < 1_500; i++) log.emit('dtmf', { digit: String(i) })
    t.equal((await log.waitFor('dtmf')).digit, '500', 'the last thousand events of each kind are kept')
  }
)

t.test('a listener that throws affects neither the call nor other listeners', async (t) => {
  const { app } = await fastifyApplication(t, [{ verb: 'answer' }, { verb: 'hangup' }])
  const seen: string[] = []
  const story = await simulateCall({
    app,
    hook: '/in',
    onEvent: () => {
      throw new Error('ouch')
    }
  }).on('verb', ({ verb }) => seen.push(verb))
  t.strictSame(seen, ['answer', 'hangup'])
  t.match(story.errors[0], 'a listener threw: Error: ouch')
})

t.test('at speed Infinity, hold() stops the clock of the call while the test is busy', async (t) => {
  const { app } = await fastifyApplication(t, [listen])
  const call = simulateCall({ app, hook: '/in', speech: null })
  await call.waitFor('listen:open')
  const release = call.hold()
  const before = call.now
  await delay(30)
  t.equal(call.now, before)
  call.press('#')
  release()
  t.strictSame((await call).listens[0]!.sent.texts.length, 1)
})

t.test('at speeds 1 and 20, the clock of a call does not drift', async (t) => {
  const { app, audio } = await fastifyApplication(t, [{ ...listen, maxLength: 1 }])
  for (const speed of [1, 20]) {
    audio.length = 0
    const begun = performance.now()
    const call = simulateCall({ app, hook: '/in', speed, patienceMs: Infinity })
    await call.waitFor('listen:open')
    const opened = performance.now()
    await call.waitFor('hook')
    const took = performance.now() - opened
    call.hangUp()
    const [{ openedAtMs, closedAtMs }] = (await call).listens as [ListenRecord]
    t.ok(closedAtMs! - openedAtMs! > 950, `${closedAtMs! - openedAtMs!} ms on the clock of the call`)
    t.ok(took < 1_000 / speed + 1_000, `${Math.round(took)} ms at speed ${speed}`)
    t.ok(Math.abs(Buffer.concat(audio).length - 16_000) <= 3_200, 'one second of audio')
    t.ok(performance.now() - begun > 950 / speed)
  }
})

t.test('a hundred calls can run at once in process, each with its own story', async (t) => {
  const { app } = await fastifyApplication(t, [{ verb: 'say', text: 'hello' }, listen])
  const calls = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      simulateCall({
        app,
        hook: '/in',
        press: '#',
        speech: { pcm: ramp(4_000, i * 100 + 1), sampleRate: 8_000 },
        callSid: `call-${i}`
      })
    )
  )
  t.strictSame(
    calls.flatMap(({ errors }) => errors),
    []
  )
  t.ok(calls.every(({ listens }, i) => listens[0]!.sent.pcm!.equals(thenKey(ramp(4_000, i * 100 + 1)))))
})

t.test('a call that hangs ends at its deadline or by a signal, without effect on other calls', async (t) => {
  const { app } = await fastifyApplication(t, [{ verb: 'listen', url: '/audio' }])
  app.post('/never', async () => await new Promise(() => {}))
  app.post('/busy', async (_request, reply) => await reply.code(503).send())
  const story = await simulateCall({ app, hook: '/in', patienceMs: Infinity, timeoutMs: 100 })
  t.match(story.errors, ['the deadline of 100 ms passed: call torn down'])
  t.equal(story.listens[0]!.closeCode, 1006)
  const abort = new AbortController()
  const call = simulateCall({ app, hook: '/never', signal: abort.signal })
  const other = simulateCall({ app, hook: '/in' })
  abort.abort()
  t.match((await call).errors[0], 'aborted by the signal')
  t.match(
    (await simulateCall({ app, hook: '/in', signal: AbortSignal.abort() })).errors[0],
    'aborted by the signal'
  )
  const retrying = new AbortController()
  const later = simulateCall({ app, hook: '/busy#rc=5&rp=5xx', signal: retrying.signal, speed: 4 })
  await later.waitFor('webhook')
  retrying.abort()
  t.match((await later).errors, ['aborted by the signal', /not sent: the call was torn down/])
  t.strictSame((await other).errors, [])
})

t.test('an invalid option makes simulateCall() throw an error that names the option', async (t) => {
  const { app } = await fastifyApplication(t, [])
  const cases: Array<[object, RegExp]> = [
    [{}, /no application to call/],
    [{ url: 'ftp://x' }, /url 'ftp:\/\/x' must be an absolute http/],
    [{ url: '/in' }, /must be an absolute/],
    [{ app }, /hook must be the path/],
    [{ app, hook: 'in' }, /begin with a slash/],
    [{ app, url: 'http://x', hook: '/in' }, /exclude each other/],
    [{ app: {}, hook: '/in' }, /no node:http server/],
    [{ speed: 0 }, /speed 0 must be above 0/],
    [{ callRate: 11_025 }, /callRate 11025/],
    [{ press: 'x' }, /press 'x': only 0-9/],
    [{ press: '1@soon' }, /time must read like/],
    [{ press: { digits: '' } }, /press ''/],
    [{ press: 1 }, /press 1 must be a string, as in '#'/],
    [{ presss: '#' }, /presss: there is no such option: use url, app, hook, .*press/],
    [{ faults: { drop: 5 } }, /faults\.drop: there is no such option: use slowUpgradeMs, .*dropAfterMs/],
    [{ bLeg: { answers: false } }, /bLeg\.answers: there is no such option: use answer, /],
    [{ patienceMs: -1 }, /patienceMs -1/],
    [{ hangUpAfterMs: Number.NaN }, /hangUpAfterMs NaN/],
    [{ app, hook: '/in', statusHook: 'mailto:x' }, /statusHook/],
    [{ hangUpAfter: 5 }, /hangUpAfter: there is no such option: use .*hangUpAfterMs/],
    [{ Speech: null }, /Speech: there is no such option: use .*speech/],
    [{ statusHook: 5 }, /statusHook: it has to be a string, not 5/],
    [{ direction: 'in' }, /direction: it has to be one of inbound, outbound, not 'in'/],
    [{ speakAt: 'begin' }, /speakAt: it has to be one of listen, answer/],
    [{ allowSelfSigned: 'yes' }, /allowSelfSigned: it has to be true or false, not 'yes'/],
    [{ webhookAuth: { user: 'x', password: 'sesame' } }, /webhookAuth\.user: .*use username, password/],
    [{ faults: { dropAfter: 5 } }, /faults\.dropAfter: .*use .*dropAfterMs/],
    [
      { faults: { stall: { fromMs: 5 } } },
      /faults\.stall\.forMs: is missing: it has to be a number of ms, 0 or more/
    ],
    [{ faults: { metadata: 'quotes' } }, /faults\.metadata: it has to be one of apostrophe, quote, cut/],
    [{ bLeg: { answer: 'no' } }, /bLeg\.answer: it has to be true, false or a SIP status, not 'no'/],
    [{ bLeg: { hangupAfterMs: 1 } }, /bLeg\.hangupAfterMs: .*use .*hangUpAfterMs/],
    [{ press: { digits: '1', at: 5 } }, /press\.at: .*use digits, atMs, holdMs/],
    [
      { press: ['1', { digits: '1', atMs: '5' }] },
      /press\.atMs: it has to be a number of ms, 0 or more, not '5'/
    ],
    [{ transcripts: ['a', { txt: 'b' }] }, /transcripts\.1\.txt: .*use text, /],
    [{ recordAllCalls: true }, /recordAllCalls: it has to be an object, not true/],
    [{ keepAudio: 'no' }, /keepAudio: it has to be false, or a number of bytes, not 'no'/],
    [{ onEvent: 'x' }, /onEvent: it has to be a function, not 'x'/]
  ]
  for (const [options, message] of cases) {
    const whole =
      'url' in options || 'app' in options || Object.keys(options).length === 0
        ? options
        : { app, hook: '/in', ...options }
    t.throws(() => simulateCall(whole), { code: 'FST_JAMBONZ_SIM_OPTIONS', message })
  }
  t.throws(() => simulateCall(undefined as never), { code: 'FST_JAMBONZ_SIM_OPTIONS', message: /an object/ })
  const call = simulateCall({ app, hook: '/in' })
  const code = 'FST_JAMBONZ_SIM_OPTIONS'
  t.throws(() => call.press('1', { hold: 5 } as never), { code, message: /press\(\)\.hold: .*use holdMs/ })
  t.throws(() => call.on('listen:opened' as never, () => {}), {
    code,
    message: /there is no such event: use .*listen:open/
  })
  t.throws(() => call.once('hangUp' as never, () => {}), {
    code,
    message: /there is no such event: use .*hangup/
  })
  await t.rejects(call.waitFor('listen' as never), { code, message: /there is no such event: use webhook, / })
  await t.rejects(call.waitFor('verb', undefined, { timeout: 5 } as never), {
    code,
    message: /waitFor\(\)\.timeout/
  })
  call.hangUp()
  await call
  for (const wrong of [
    '/nowhere.wav',
    Buffer.from('no wav'),
    { pcm: Buffer.alloc(2), sampleRate: 0 },
    Buffer.from('RIFFxxxxWAVEdata\x00\x00\x00\x00'),
    Buffer.from('RIFFxxxxWAVE')
  ]) {
    t.throws(() => simulateCall({ app, hook: '/in', speech: wrong }), { code: 'FST_JAMBONZ_SIM_AUDIO' })
  }
  const eightBit = wavOf(ramp(10), 8_000)
  eightBit.writeUInt16LE(8, 34)
  t.throws(() => simulateCall({ app, hook: '/in', speech: eightBit }), /convert it to 16-bit PCM/)
})

t.test("speech of any rate is resampled to the call's rate", async (t) => {
  const { app, audio } = await fastifyApplication(t, [{ ...listen, sampleRate: 16_000 }])
  const wide = speechLike(1, 16_000)
  await simulateCall({
    app,
    hook: '/in',
    press: '#',
    callRate: 16_000,
    speech: { pcm: wide.samples, sampleRate: 16_000 }
  })
  t.ok(
    Buffer.concat(audio).equals(thenKey(Buffer.from(wide.samples.buffer), 16_000)),
    'the audio is equal, byte for byte'
  )
  const story = await simulateCall({
    app,
    hook: '/in',
    press: '#',
    speech: { pcm: wide.samples, sampleRate: 16_000 }
  })
  t.equal(story.listens[0]!.sent.bytes, 32_000 + 2_560, 'the audio is resampled down to 8 kHz and up again')
})

t.test('audio is kept up to a limit; further audio is only counted and hashed', async (t) => {
  const { app } = await fastifyApplication(t, [listen])
  const whole = await simulateCall({ app, hook: '/in', press: '#', speech })
  for (const keepAudio of [false, 1_000] as const) {
    const story = await simulateCall({ app, hook: '/in', press: '#', speech, keepAudio })
    t.match(story.listens[0]!.sent, { bytes: 17_280, sha256: whole.listens[0]!.sent.sha256, pcm: undefined })
    t.equal(story.heard.pcm.length, keepAudio === false ? 0 : 1_000)
  }
})
