import t from 'tap'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { WebSocket } from 'ws'
import { simulateCall, wavOf } from '../../lib/simulator/index.js'
import { application, ramp, thenKey, until } from './peers.js'

const dial = { verb: 'dial', target: [{ type: 'phone', number: '15553' }], actionHook: '/dialled' }
const speech = { pcm: ramp(8_000), sampleRate: 8_000 }

t.test(
  'the duration of say and play depends on the text, the file, the loop and silence_stream',
  async (t) => {
    const file = join(t.testdir(), 'prompt.wav')
    writeFileSync(file, wavOf(ramp(16_000), 16_000))
    const app = await application(t, {
      '/in': [
        { verb: 'say', text: 'x'.repeat(30) },
        { verb: 'say', text: ['x'.repeat(15), '<speak>' + 'x'.repeat(15) + '</speak>'], loop: 2 },
        { verb: 'play', url: file, actionHook: '/played' },
        { verb: 'play', url: 'silence_stream://500' },
        { verb: 'play', url: 'https://127.0.0.1/x.mp3' },
        { verb: 'play', url: [file, file], loop: 'forever', timeoutSecs: 2.5 },
        { verb: 'pause', length: 1.5 },
        { verb: 'say', text: '', loop: 'forever' },
        { verb: 'say', text: 'silence_stream://300' }
      ],
      '/played': []
    })
    const broken = await application(t, {
      '/in': [
        { verb: 'play', url: pathToFileURL(join(t.testdirName, 'broken.wav')).href },
        { verb: 'hangup' }
      ]
    })
    const { verbs, errors, heard } = await simulateCall({ url: app.url('/in') })
    t.strictSame(errors, [])
    t.strictSame(
      verbs.map(({ startedAtMs, endedAtMs }) => Math.round((endedAtMs! - startedAtMs) / 100) * 100),
      [2_000, 4_000, 1_000, 500, 2_000, 2_500, 1_500, 0, 300]
    )
    t.match(verbs[4]!.note, /not fetched/)
    t.match(app.at('/played')[0]!.json, {
      reason: 'playCompleted',
      playback_seconds: 1,
      playback_milliseconds: 1_000
    })
    t.ok(heard.pcm.length > 8_000 * 2 * 12, 'the caller heard all audio')
    writeFileSync(join(t.testdirName, 'broken.wav'), 'no wav')
    t.match((await simulateCall({ url: broken.url('/in') })).verbs, [
      { note: /not a WAV file/ },
      { verb: 'hangup' }
    ])
  }
)

t.test(
  'tag sets customer data for later requests and metadata, and the keys of the data are not changed',
  async (t) => {
    const app = await application(
      t,
      {
        '/in': [
          { verb: 'tag', data: { orderId: 7, note: 'it "is"' } },
          { verb: 'listen', url: '/audio', actionHook: '/done', maxLength: 1 }
        ],
        '/done': []
      },
      () => {}
    )
    const story = await simulateCall({ url: app.url('/in'), patienceMs: Infinity })
    t.match(app.at('/done')[0]!.json, { customerData: { orderId: 7, note: 'it "is"' } })
    t.match(story.listens[0]!.metadata, { customerData: { orderId: 7, note: 'it "is"' } })
  }
)

t.test(
  'redirect requests another webhook; a webhook on another host does not get the credentials',
  async (t) => {
    const other = await application(t, {
      '/start': [{ verb: 'redirect', actionHook: '/next' }],
      '/next': [{ verb: 'answer' }, { verb: 'hangup' }],
      '/status': {}
    })
    const app = await application(t, {
      '/in': [
        { verb: 'redirect', actionHook: other.url('/start'), statusHook: other.url('/status') },
        { verb: 'say', text: 'never' }
      ]
    })
    const story = await simulateCall({ url: app.url('/in'), webhookAuth: { username: 'a', password: 'b' } })
    t.strictSame(
      story.verbs.map(({ verb }) => verb),
      ['redirect', 'redirect', 'answer', 'hangup']
    )
    t.equal(other.at('/start')[0]!.headers.authorization, undefined)
    t.equal(other.at('/status').length, 2)
    const near = await application(t, {
      '/in': [{ verb: 'redirect', actionHook: '/next', statusHook: { url: '/status' } }],
      '/status': {},
      '/next': [{ verb: 'redirect', actionHook: '' }]
    })
    const silent = await application(t, {
      '/in': [
        { verb: 'gather', timeout: 1, actionHook: '/done' },
        { verb: 'listen', url: '/nobody', maxLength: 5 }
      ],
      '/done': [{ verb: 'sing' }]
    })
    t.equal(
      (await simulateCall({ url: silent.url('/in') })).errors.length,
      2,
      'without a status hook, no other url gets events'
    )
    t.match((await simulateCall({ url: near.url('/in') })).errors, [/needs a path/, /603/])
    near.posted.length = 0
    const same = await application(t, {
      '/in': ({ url }) =>
        url === '/in' ? [{ verb: 'redirect', actionHook: same.url('/in?again') }] : [{ verb: 'answer' }]
    })
    t.equal(
      (await simulateCall({ url: same.url('/in'), webhookAuth: { username: 'a', password: 'b' } })).requests
        .length,
      2
    )
    t.ok(same.posted[1]!.headers.authorization, 'a webhook on the same host gets the credentials')
    const lost = await application(t, {
      '/in': [{ verb: 'answer' }, { verb: 'redirect', actionHook: '/gone' }, { verb: 'say', text: 'never' }],
      '/gone': { status: 404 }
    })
    const failed = await simulateCall({ url: lost.url('/in') })
    t.strictSame(
      failed.verbs.map(({ verb }) => verb),
      ['answer', 'redirect'],
      'a redirect that fails ends the call'
    )
  }
)

t.test(
  'verbs that are not simulated are recorded with a note; a hangup before the answer of the call is skipped',
  async (t) => {
    const app = await application(t, {
      '/in': [
        { verb: 'hangup' },
        { verb: 'answer' },
        { verb: 'conference', name: 'a' },
        { verb: 'enqueue', name: 'b' },
        { verb: 'hangup' }
      ]
    })
    const { verbs, hangupBy } = await simulateCall({ url: app.url('/in') })
    t.match(
      verbs.map(({ note }) => note),
      [/not answered/, undefined, /not simulated/, /not simulated/, undefined]
    )
    t.equal(hangupBy, 'jambonz')
  }
)

t.test(
  'verbs in the reply to a hook replace the remaining verbs; an empty or invalid reply does not',
  async (t) => {
    const listen = { verb: 'listen', url: '/nobody' }
    const app = await application(t, {
      '/in': [
        { ...listen, actionHook: '/empty' },
        { ...listen, actionHook: '/broken' },
        { ...listen, actionHook: '/new', id: 'third' },
        { verb: 'say', text: 'never' }
      ],
      '/empty': [],
      '/broken': [{ verb: 'sing' }],
      '/new': [{ verb: 'hangup' }]
    })
    const story = await simulateCall({ url: app.url('/in') })
    t.strictSame(
      story.verbs.map(({ verb }) => verb),
      ['listen', 'listen', 'listen', 'hangup']
    )
    t.equal(app.at('/new')[0]!.json.verb_id, 'third')
    t.match(story.errors.join(), /unknown verb 'sing'/)
  }
)

t.test('after the caller hung up, the hook is still posted, and its reply is ignored', async (t) => {
  const app = await application(
    t,
    {
      '/in': [{ verb: 'listen', url: '/audio', actionHook: '/done' }],
      '/done': [{ verb: 'say', text: 'never' }],
      '/status': {}
    },
    () => {}
  )
  const story = await simulateCall({ url: app.url('/in'), statusHook: '/status', hangUpAfterMs: 2_500 })
  t.match(app.at('/done')[0]!.json, {
    call_status: 'completed',
    call_termination_by: 'caller',
    duration: 2,
    dial_call_duration: 2
  })
  t.strictSame(
    story.verbs.map(({ verb }) => verb),
    ['listen']
  )
  t.equal(story.hangupBy, 'caller')
})

t.test('the caller hangs up if no verb runs for 2 s, but not while audio is playing', async (t) => {
  const app = await application(t, { '/in': [{ verb: 'listen', url: '/audio' }] }, () => {})
  const story = await simulateCall({ url: app.url('/in'), speech })
  t.equal(story.hangupBy, 'caller')
  t.equal(story.listens[0]!.sent.bytes, 16_000 + 2 * 16_000)
})

t.test('gather ends after its number of digits, at its key, or at a pause between digits', async (t) => {
  const gather = async (options: object, press: string[]) => {
    const app = await application(t, {
      '/in': [{ verb: 'gather', actionHook: '/done', say: { text: 'Your code please' }, ...options }],
      '/done': [{ verb: 'hangup' }]
    })
    const story = await simulateCall({ url: app.url('/in'), press })
    t.strictSame(story.errors, [])
    const { digits, reason } = app.at('/done')[0]!.json
    return [digits, reason]
  }
  t.strictSame(await gather({ numDigits: 4 }, ['12345@1s']), ['1234', 'dtmfDetected'])
  t.strictSame(await gather({ finishOnKey: '#' }, ['12#@1s']), ['12', 'dtmfDetected'])
  t.strictSame(await gather({ interDigitTimeout: 2, minDigits: 2 }, ['12@1s', '3@2s']), [
    '123',
    'dtmfDetected'
  ])
  t.strictSame(
    await gather({ interDigitTimeout: 2, timeout: 5 }, ['12@1s']),
    [undefined, 'timeout'],
    'without minDigits, a pause between digits never ends the gather'
  )
  t.strictSame(await gather({ maxDigits: 2, dtmfBargein: false }, ['12@1s']), ['12', 'dtmfDetected'])
  t.strictSame(await gather({ timeout: 3 }, []), [undefined, 'timeout'])
  t.strictSame(
    await gather({ input: ['speech'], timeout: 3 }, ['1@1s']),
    [undefined, 'timeout'],
    'keys do not count if the input is only speech'
  )
})

t.test(
  'without listenDuringPrompt, gather collects nothing in its prompt; the status hook reports failed hooks',
  async (t) => {
    const app = await application(t, {
      '/in': [
        {
          verb: 'gather',
          numDigits: 1,
          timeout: 2,
          listenDuringPrompt: false,
          say: { text: 'x'.repeat(60) },
          actionHook: '/done',
          partialResultHook: '/partial'
        },
        { verb: 'gather', timeout: 1, say: { stream: true } },
        { verb: 'gather', timeout: 0, input: ['speech'], say: { text: 'hi' } }
      ],
      '/done': [{ verb: 'sing' }],
      '/status': {}
    })
    const call = simulateCall({
      url: app.url('/in'),
      statusHook: '/status',
      speed: 20,
      hangUpAfterMs: 15_000
    })
    await call.waitFor('verb')
    call.press('1')
    await call
      .waitFor('verb', ({ verb, startedAtMs }) => verb === 'gather' && startedAtMs > 0)
      .catch(() => {})
    const story = await call
    t.match(
      app.at('/done')[0]!.json,
      { reason: 'timeout' },
      'the key pressed during the prompt did not count'
    )
    t.match(
      app
        .at('/status')
        .map(({ json }) => json.error)
        .filter(Boolean),
      ['invalid actionHook response']
    )
    t.match(story.verbs[0]!.note, /partialResultHook/)
    t.match(story.errors, [/sing/, /stream works only for an application over a websocket/])
    t.equal(story.hangupBy, 'caller', 'a gather with timeout 0 waits until the caller hangs up')
  }
)

t.test(
  'each gather takes the next line of the script as speech, after its prompt; a key interrupts the prompt',
  async (t) => {
    const lines: unknown[] = []
    const app = await application(t, {
      '/in': [
        {
          verb: 'gather',
          input: ['speech', 'digits'],
          actionHook: '/said',
          play: { url: 'silence_stream://2000' }
        }
      ],
      '/said': ({ json }, count) => {
        lines.push(json.speech ?? json.digits)
        return count < 3
          ? [
              {
                verb: 'gather',
                input: ['speech', 'digits'],
                numDigits: 1,
                actionHook: '/said',
                say: { text: 'x'.repeat(300) }
              }
            ]
          : [{ verb: 'hangup' }]
      }
    })
    const call = simulateCall({
      url: app.url('/in'),
      transcripts: ['yes please', { text: 'no', confidence: 0.5 }],
      speed: 20
    })
    await call.waitFor('hook')
    await call.waitFor('hook')
    await call.waitFor('verb', ({ startedAtMs }) => startedAtMs > 4_000)
    call.press('5')
    const { verbs, errors } = await call
    t.match(lines, [
      { alternatives: [{ transcript: 'yes please' }], is_final: true, language_code: 'en-US' },
      { alternatives: [{ transcript: 'no', confidence: 0.5 }] },
      '5'
    ])
    t.strictSame(errors, [])
    t.ok(verbs[2]!.endedAtMs! - verbs[2]!.startedAtMs < 19_000, 'the key interrupted the prompt of 20 s')
  }
)

t.test(
  'transcribe posts each line; the reply is ignored only if the transcribe is nested in a listen',
  async (t) => {
    const app = await application(
      t,
      {
        '/in': [
          { verb: 'tag', data: { a: 1 } },
          { verb: 'config', transcribe: { enable: true, transcriptionHook: '/background' } },
          { verb: 'listen', url: '/audio', transcribe: { transcriptionHook: '/nested' }, actionHook: '/done' }
        ],
        '/nested': [{ verb: 'hangup' }],
        '/background': (_posted, count) =>
          count === 2
            ? [
                { verb: 'say', text: 'switch' },
                { verb: 'transcribe', transcriptionHook: '/alone' }
              ]
            : [],
        '/done': [],
        '/alone': [{ verb: 'hangup' }]
      },
      () => {}
    )
    const story = await simulateCall({
      url: app.url('/in'),
      transcripts: [
        { text: 'one', atMs: 500 },
        { text: 'two', atMs: 1_000 },
        { text: 'three', atMs: 5_000 }
      ],
      patienceMs: 10_000
    })
    t.strictSame(
      ['/background', '/nested', '/alone'].map((path) => app.at(path).length),
      [3, 2, 1]
    )
    const turns = await application(t, {
      '/in': [{ verb: 'transcribe', transcriptionHook: '/heard' }],
      '/heard': []
    })
    await simulateCall({ url: turns.url('/in'), transcripts: ['one', 'two'], patienceMs: 5_000 })
    t.equal(turns.at('/heard').length, 2, 'lines without a time are spoken one after the other')
    t.strictSame(
      story.verbs.map(({ verb }) => verb),
      ['tag', 'config', 'listen', 'say', 'transcribe', 'hangup']
    )
    t.match(
      app.at('/nested')[0]!.json,
      {
        speech: { alternatives: [{ transcript: 'one' }] },
        caller_name: '',
        has_recording: false,
        b3: String,
        customerdata: { a: 1 }
      },
      'the payload has the current call object'
    )
  }
)

t.test('config.transcribe is not started twice, and can be stopped; a failed hook is logged', async (t) => {
  const transcribe = { enable: true, transcriptionHook: '/heard' }
  const app = await application(t, {
    '/in': [
      { verb: 'config', transcribe },
      { verb: 'config', transcribe },
      { verb: 'pause', length: 2 },
      { verb: 'config', transcribe: { enable: false } },
      { verb: 'pause', length: 4 },
      { verb: 'transcribe' }
    ],
    '/heard': { status: 500 }
  })
  const story = await simulateCall({
    url: app.url('/in'),
    transcripts: [
      { text: 'one', atMs: 1_000 },
      { text: 'two', atMs: 5_000 },
      { text: 'three', atMs: 6_500 }
    ]
  })
  t.equal(app.at('/heard').length, 1)
  t.match(story.verbs[1]!.note, /transcription runs already/)
  t.match(story.errors, [/\/heard answered 500/])
})

t.test(
  'config.listen runs in the background; the reply to its hook replaces the verbs, even while a verb runs',
  async (t) => {
    const sockets: WebSocket[] = []
    const app = await application(
      t,
      {
        '/in': [
          { verb: 'config', listen: { enable: true, url: '/audio', actionHook: '/background' } },
          { verb: 'listen', url: '/audio', actionHook: '/front' },
          { verb: 'say', text: 'never' }
        ],
        '/background': [{ verb: 'say', text: 'replaced' }, { verb: 'hangup' }],
        '/front': []
      },
      (socket) => {
        sockets.push(socket)
      }
    )
    const call = simulateCall({ url: app.url('/in'), speed: 20, configListenHook: true })
    await call.waitFor('listen:open')
    await call.waitFor('listen:open')
    sockets[0]!.close(1000)
    const story = await call
    t.strictSame(
      story.verbs.map(({ verb }) => verb),
      ['config', 'listen', 'say', 'hangup']
    )
    t.strictSame(
      story.listens.map(({ role, closedBy }) => [role, closedBy]),
      [
        ['background', 'server'],
        ['listen', 'jambonz']
      ]
    )
    t.ok('dial_call_duration' in app.at('/front')[0]!.json)
  }
)

t.test(
  'config.listen ends at enable: false or at the end of the call, and is not started twice',
  async (t) => {
    const app = await application(
      t,
      {
        '/in': [
          {
            verb: 'config',
            listen: { enable: true, url: '/a', actionHook: '/done', mixType: 'stereo' },
            stream: { enable: true, url: '/b' },
            vad: { enable: true }
          },
          { verb: 'config', listen: { enable: true, url: '/c' } },
          { verb: 'pause', length: 1 },
          { verb: 'config', listen: { enable: false } },
          { verb: 'pause', length: 1 },
          { verb: 'config', listen: { enable: true, url: '/d', actionHook: '/done' } },
          { verb: 'pause', length: 1 }
        ],
        '/done': []
      },
      () => {}
    )
    const story = await simulateCall({ url: app.url('/in'), configListenHook: true })
    t.strictSame(
      story.listens.map(({ url, closedBy }) => [new URL(url).pathname, closedBy]),
      [
        ['/a', 'jambonz'],
        ['/d', 'jambonz']
      ]
    )
    t.match(story.verbs[0]!.note, /jambonz 0\.9 ignores config\.stream.*vad/)
    t.match(story.verbs[1]!.note, /runs already/)
    t.equal(app.at('/done').length, 2)
    app.posted.length = 0
    await simulateCall({ url: app.url('/in'), faults: { noHookAfterHangup: true }, configListenHook: true })
    t.equal(
      app.at('/done').length,
      1,
      'without a connection pool, jambonz never posts the hook after the hangup'
    )
    t.match(
      (await simulateCall({ url: app.url('/in') })).errors[0],
      /config\.listen has the unknown property 'actionHook'/,
      'published jambonz refuses an actionHook in config.listen'
    )
  }
)

t.test(
  'dial rings a second leg with its own callSid; a nested listen names this leg, and has the called party right',
  async (t) => {
    const frames: Buffer[] = []
    const app = await application(
      t,
      {
        '/in': [
          { ...dial, listen: { url: '/audio', mixType: 'stereo', actionHook: '/nested' } },
          { verb: 'say', text: 'goodbye' }
        ],
        '/nested': [{ verb: 'hangup' }],
        '/dialled': [],
        '/status': {}
      },
      (socket) =>
        socket.on('message', (data, binary) => {
          if (binary) frames.push(data as Buffer)
        })
    )
    const story = await simulateCall({
      url: app.url('/in'),
      statusHook: '/status',
      speech,
      bLeg: { speech: { pcm: ramp(16_000, 10_001), sampleRate: 8_000 } }
    })
    const [leg] = story.legs
    t.match(leg, { parentCallSid: story.callSid, status: 'completed' })
    t.match(story.listens[0], {
      role: 'dial',
      callSid: leg!.callSid,
      metadata: { callSid: leg!.callSid, parentCallSid: story.callSid, direction: 'outbound', to: '15553' }
    })
    t.match(
      app.at('/nested')[0]!.json,
      { call_sid: story.callSid, dial_call_duration: 2 },
      "the hook of the nested listen names the webhook's call"
    )
    t.match(app.at('/dialled')[0]!.json, {
      call_sid: story.callSid,
      dial_call_status: 'completed',
      dial_sip_status: 200,
      dial_call_sid: leg!.callSid
    })
    t.equal(story.verbs.at(-1)!.verb, 'say', 'the reply to the nested listen is ignored')
    t.strictSame(
      app.at('/status').map(({ json }) => [json.direction, json.call_status]),
      [
        ['inbound', 'trying'],
        ['inbound', 'in-progress'],
        ['outbound', 'trying'],
        ['outbound', 'ringing'],
        ['outbound', 'in-progress'],
        ['outbound', 'completed'],
        ['inbound', 'completed']
      ]
    )
    const pcm = Buffer.concat(frames)
    t.strictSame([pcm.readInt16LE(0), pcm.readInt16LE(2)], [1, 10_001])
    t.equal(
      story.heard.pcm.readInt16LE(story.heard.pcm.indexOf(ramp(2, 10_001))),
      10_001,
      'the caller heard the called party'
    )
  }
)

t.test('dial.stream is a nested listen, whose channel 2 has only the called party', async (t) => {
  const app = await application(t, { '/in': [{ ...dial, stream: { url: '/audio', channel: 2 } }] }, () => {})
  const story = await simulateCall({
    url: app.url('/in'),
    speech: null,
    bLeg: { speech, hangUpAfterMs: 2_000 }
  })
  t.equal(story.listens[0]!.sent.pcm!.readInt16LE(0), 1)
  t.match(story.legs[0]!.durationMs, 2_000)
})

t.test('a dial runs its transcription and confirmHook, and has its own customer data', async (t) => {
  const verb = {
    ...dial,
    transcribe: { transcriptionHook: '/heard' },
    confirmHook: '/confirm',
    tag: { b: 1 },
    callerId: '777',
    dtmfHook: '/dtmf',
    target: [...dial.target, { type: 'user', name: 'bob' }],
    timeLimit: 4
  }
  const app = await application(t, {
    '/in': [verb],
    '/heard': [{ verb: 'hangup' }],
    '/confirm': [{ verb: 'say', text: 'press 1' }],
    '/dialled': [],
    '/status': {}
  })
  const story = await simulateCall({
    url: app.url('/in'),
    statusHook: '/status',
    bLeg: { speech: null },
    transcripts: [{ text: 'hello', atMs: 500 }],
    patienceMs: Infinity
  })
  t.equal(app.at('/heard').length, 1)
  t.match(app.at('/confirm')[0]!.json, { direction: 'outbound', from: '777', customerData: { b: 1 } })
  t.match(
    story.verbs[0]!.note,
    /only the first target.*dtmfHook is not simulated.*confirmHook are not simulated/
  )
  const declined = await application(t, {
    '/in': [verb],
    '/heard': [],
    '/confirm': { status: 500 },
    '/dialled': { status: 500 }
  })
  const refused = await simulateCall({ url: declined.url('/in') })
  t.match(refused.errors, [/\/confirm answered 500/, /\/dialled answered 500/])
})

t.test("new verbs during a dial end the dial, and the reply to the dial's hook is ignored", async (t) => {
  const app = await application(t, {
    '/in': [{ verb: 'config', transcribe: { enable: true, transcriptionHook: '/heard' } }, { ...dial }],
    '/heard': [{ verb: 'say', text: 'new' }],
    '/dialled': [{ verb: 'say', text: 'ignored' }]
  })
  const story = await simulateCall({ url: app.url('/in'), transcripts: [{ text: 'stop', atMs: 1_500 }] })
  t.strictSame(
    story.verbs.map(({ data }) => data.text ?? '-'),
    ['-', '-', 'new']
  )
})

t.test(
  'a dial fails if the called party is busy or does not answer, or if the caller hangs up',
  async (t) => {
    const statuses = async (bLeg: object, verb = {}, options = {}) => {
      const app = await application(t, { '/in': [{ ...dial, ...verb }], '/dialled': [], '/status': {} })
      const story = await simulateCall({ url: app.url('/in'), statusHook: '/status', bLeg, ...options })
      t.equal(story.legs.length, 1)
      const { dial_call_status: status, dial_sip_status: sip } = app.at('/dialled')[0]!.json
      return [
        status,
        sip,
        app
          .at('/status')
          .filter(({ json }) => json.direction === 'outbound')
          .at(-1)!.json.call_status
      ]
    }
    t.strictSame(await statuses({ answer: 486 }), ['busy', 486, 'busy'])
    t.strictSame(await statuses({ answer: 503 }), ['failed', 503, 'failed'])
    t.strictSame(await statuses({ answer: false }, { timeout: 5 }), ['no-answer', 487, 'no-answer'])
    t.strictSame(await statuses({ answer: false }, {}, { hangUpAfterMs: 3_000 }), [
      'no-answer',
      487,
      'no-answer'
    ])
    t.strictSame(
      await statuses({ hangUpAfterMs: 60_000 }, { timeLimit: 2, target: [{ type: 'user', name: 'bob' }] }),
      ['completed', 200, 'completed']
    )
    t.strictSame(await statuses({ answer: 486 }, { target: [{ type: 'teams' }] }), ['busy', 486, 'busy'])
  }
)

t.test(
  'the hook of a failed dial has the same fields even if the caller hangs up during the hook',
  async (t) => {
    const call: { hangUp?: () => void } = {}
    const app = await application(t, {
      '/in': [{ ...dial, target: [{ type: 'sip', sipUri: 'sip:a@b' }] }],
      '/dialled': () => {
        call.hangUp!()
        return [{ verb: 'say', text: 'never' }]
      }
    })
    const running = simulateCall({ url: app.url('/in'), bLeg: { answer: 486 } })
    call.hangUp = () => running.hangUp()
    const story = await running
    t.match(story.legs, [{ status: 'busy' }])
    t.equal(story.verbs.length, 1)
  }
)

t.test('answerOnBridge keeps the caller ringing until the called party answers', async (t) => {
  const app = await application(t, {
    '/in': [{ ...dial, answerOnBridge: true }],
    '/dialled': [],
    '/status': {}
  })
  await simulateCall({ url: app.url('/in'), statusHook: '/status' })
  t.strictSame(
    app
      .at('/status')
      .slice(1, 5)
      .map(({ json }) => [json.direction, json.call_status]),
    [
      ['outbound', 'trying'],
      ['outbound', 'ringing'],
      ['outbound', 'in-progress'],
      ['inbound', 'in-progress']
    ]
  )
})

t.test(
  'if the account records all calls, jambonz opens one more socket, in stereo and without customer data',
  async (t) => {
    const app = await application(
      t,
      {
        '/in': [
          { verb: 'tag', data: { a: 1 } },
          { verb: 'listen', url: '/audio', finishOnKey: '#' }
        ]
      },
      () => {}
    )
    const story = await simulateCall({
      url: app.url('/in'),
      press: '#',
      recordAllCalls: {
        url: `ws://127.0.0.1:${app.port}/record`,
        wsAuth: { username: 'rec', password: 'ord' }
      }
    })
    t.strictSame(
      story.listens.map(({ role, mixType }) => [role, mixType]),
      [
        ['record', 'stereo'],
        ['listen', 'mono']
      ]
    )
    t.notOk('customerData' in story.listens[0]!.metadata)
    t.match(story.listens[0]!.sent.texts.at(-1), '"dtmf":"#"')
  }
)

t.test(
  'a message "error" ends the listen without a duration; the socket stays open until the call ends',
  async (t) => {
    const app = await application(
      t,
      {
        '/in': [
          { verb: 'listen', url: '/audio', actionHook: '/done' },
          { verb: 'pause', length: 1 },
          { verb: 'listen', url: '/audio' }
        ],
        '/done': []
      },
      (socket) => socket.once('message', () => socket.send('{"type":"error","data":{}}'))
    )
    const story = await simulateCall({ url: app.url('/in') })
    t.notOk('dial_call_duration' in app.at('/done')[0]!.json)
    t.ok(story.listens[0]!.closedAtMs! - story.listens[0]!.openedAtMs! >= 1_000)
    t.match(story.errors.join(), /still runs on this leg/)
  }
)

t.test(
  'playBeep plays 500 ms of 1500 Hz before the socket opens; a hang-up during the beep prevents the listen',
  async (t) => {
    const app = await application(
      t,
      {
        '/in': [{ verb: 'listen', url: '/audio', playBeep: true, finishOnKey: '#', actionHook: '/done' }],
        '/done': []
      },
      () => {}
    )
    const story = await simulateCall({ url: app.url('/in'), press: '#', speech })
    t.equal(story.listens[0]!.startedAtMs, 500)
    const beep = story.heard.pcm.subarray(0, 8_000)
    t.strictSame(
      [beep.readInt16LE(2), beep.readInt16LE(7_990) !== 0, story.heard.pcm.readInt16LE(8_000)],
      [Math.round(8_000 * Math.sin((2 * Math.PI * 1_500) / 8_000)), true, 0]
    )
    t.ok(story.listens[0]!.sent.pcm!.equals(thenKey(speech.pcm)))
    const gone = await simulateCall({ url: app.url('/in'), hangUpAfterMs: 200 })
    t.strictSame([gone.listens, app.at('/done').length], [[], 1])
  }
)

t.test('with speakAt: answer, the caller speaks during the prompt', async (t) => {
  const app = await application(
    t,
    {
      '/in': [
        { verb: 'pause', length: 0.5 },
        { verb: 'answer' },
        { verb: 'pause', length: 0.5 },
        { verb: 'listen', url: '/audio', finishOnKey: '#' }
      ]
    },
    () => {}
  )
  const story = await simulateCall({ url: app.url('/in'), speech, speakAt: 'answer', press: '#' })
  t.ok(story.listens[0]!.sent.pcm!.equals(thenKey(speech.pcm.subarray(8_000))))
})

t.test('a call that does not end is hung up after an hour on its own clock', async (t) => {
  const app = await application(t, { '/in': [{ verb: 'answer' }, { verb: 'pause', length: 100_000 }] })
  const story = await simulateCall({ url: app.url('/in'), keepAudio: false })
  t.match(story.errors, ['the call lasted an hour of simulated time: hung up'])
})

t.test('an application whose verbs never end is stopped after a thousand verbs', async (t) => {
  const app = await application(t, { '/in': [{ verb: 'answer' }, { verb: 'redirect', actionHook: '/in' }] })
  const story = await simulateCall({ url: app.url('/in'), keepAudio: false })
  t.match(story.errors, ['the application has sent more than 1000 verbs: the simulator hung up'])
})

t.test(
  'a message "disconnect" of the server ends the listen with 1000, and its hook is called',
  async (t) => {
    const closes: number[] = []
    const app = await application(
      t,
      { '/in': [{ verb: 'listen', url: '/audio', actionHook: '/done' }], '/done': [{ verb: 'hangup' }] },
      async (socket) => {
        socket.once('message', () => socket.send('{"type":"disconnect"}'))
        closes.push(...(await once(socket, 'close').then(([code]) => [code as number])))
      }
    )
    await simulateCall({ url: app.url('/in') })
    await until(() => closes.length > 0)
    t.strictSame(closes, [1000])
    t.equal(app.at('/done')[0]!.json.dial_call_duration, 0)
  }
)
