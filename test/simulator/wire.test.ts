import t, { type Test } from 'tap'
import { Agent } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer } from 'node:net'
import { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { simulateCall, type SimulateCallOptions } from '../../lib/simulator/index.js'
import { Clock } from '../../lib/simulator/clock.js'
import { splitAddress } from '../../lib/simulator/fork/address.js'
import { Upgrade } from '../../lib/simulator/fork/upgrade.js'
import { certificate } from './certificate.js'
import {
  application,
  ramp,
  thenKey,
  rawAudio,
  serverFrame,
  until,
  type Peer,
  type RawConnection
} from './peers.js'

const AUDIO = 2
const TEXT = 1
const CLOSE = 8
const PONG = 10

type Verb = Record<string, unknown>

// Starts an application that answers with a listen to the socket of the test, and a hangup.
async function listening(
  t: Test,
  onRequest: (connection: RawConnection) => void,
  verb: Verb = {},
  options: Partial<SimulateCallOptions> = {}
) {
  const audio = await rawAudio(t, onRequest)
  const app = await application(t, {
    '/in': [
      { verb: 'listen', url: audio.url, actionHook: '/done', finishOnKey: '#', ...verb },
      { verb: 'hangup' }
    ],
    '/done': []
  })
  const call = () =>
    simulateCall({
      url: app.url('/in'),
      press: '#',
      speech: { pcm: ramp(8_000), sampleRate: 8_000 },
      ...options
    })
  return { audio, app, call }
}

const accepting = (connection: RawConnection) =>
  connection.accept(['Sec-WebSocket-Protocol: audio.jambonz.org'])
const audioOf = (connection: RawConnection) =>
  Buffer.concat(
    connection
      .frames()
      .filter((frame) => frame.opcode === AUDIO)
      .map((frame) => frame.payload)
  )
const hookOf = (app: Peer) => app.at('/done')[0]!.json

t.jobs = 4

t.test('the simulator and the media server send the same upgrade request, byte for byte', async (t) => {
  const { audio, call } = await listening(t, accepting)
  const story = await call()
  const { request } = audio.connections[0]!
  const key = /Sec-WebSocket-Key: (.{24})\r\n/.exec(request)![1]
  t.equal(
    request,
    [
      'GET /audio HTTP/1.1',
      'Pragma: no-cache',
      'Cache-Control: no-cache',
      'Host: 127.0.0.1',
      'Origin: http://127.0.0.1',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${key}`,
      'Sec-WebSocket-Protocol: audio.jambonz.org',
      'Sec-WebSocket-Version: 13',
      '',
      ''
    ].join('\r\n')
  )
  t.strictSame(story.errors, [])
})

t.test('the upgrade has the credentials of wsAuth, with the limits of the media server', async (t) => {
  const authorization = async (t: Test, verb: Verb, options: Partial<SimulateCallOptions> = {}) => {
    const { audio, call } = await listening(t, accepting, verb, options)
    await call()
    const [head] = audio.connections[0]!.request.split('\r\n\r\n')
    const lines = head!.split('\r\n')
    const line = lines.find((one) => /^authorization:/i.test(one))
    if (line !== undefined) t.equal(lines.indexOf(line), lines.length - 1, 'authorization is the last header')
    return line
  }
  const pair = (bytes: number) => ({ wsAuth: { username: 'user', password: 'p'.repeat(bytes - 5) + 'Z' } })
  const whole = (bytes: number) => Buffer.from(`user:${pair(bytes).wsAuth.password}`).toString('base64')

  t.equal(
    await authorization(t, { wsAuth: { username: 'jam', password: 'bonz' } }),
    'authorization: Basic amFtOmJvbno='
  )
  t.equal(await authorization(t, pair(89)), `authorization: Basic ${whole(89)}`, '89 bytes arrive completely')
  const cut = (await authorization(t, pair(90)))!.slice('authorization: Basic '.length)
  t.equal(Buffer.from(cut, 'base64').toString(), `user:${'p'.repeat(85)}`, '90 bytes lose the last one')
  t.equal(await authorization(t, pair(91)), undefined, '91 bytes: no header, but a connection')
  t.equal(
    await authorization(t, { wsAuth: { username: 'jam', password: '' } }),
    undefined,
    'an empty password: no header'
  )
  t.equal(
    await authorization(t, { wsAuth: { username: 'ü', password: 'a:b' } }),
    `authorization: Basic ${Buffer.from('ü:a:b').toString('base64')}`,
    'UTF-8 and colons are unchanged'
  )
})

t.test(
  "a relative url gets the webhook's credentials instead of wsAuth; an absolute url gets its wsAuth",
  async (t) => {
    const seen: Array<string | undefined> = []
    const app = await application(
      t,
      {
        '/in': [
          { verb: 'listen', url: '/audio', wsAuth: { username: 'ws', password: 'secret' }, maxLength: 1 },
          { verb: 'hangup' }
        ]
      },
      (socket, request) => {
        seen.push(request.headers.authorization)
      }
    )
    await simulateCall({ url: app.url('/in'), webhookAuth: { username: 'web', password: 'hook' } })
    await simulateCall({ url: app.url('/in') })
    t.strictSame(
      seen,
      ['web:hook', 'ws:secret'].map((pair) => `Basic ${Buffer.from(pair).toString('base64')}`)
    )
  }
)

t.test('a listen without credentials sends the credentials of an earlier listen of the call', async (t) => {
  const seen: Array<string | undefined> = []
  const app = await application(
    t,
    {
      '/in': [
        { verb: 'listen', url: '/a', wsAuth: { username: 'ws', password: 'secret' }, maxLength: 1 },
        { verb: 'listen', url: '/b', maxLength: 1 }
      ]
    },
    (_socket, request) => {
      seen.push(request.headers.authorization)
    }
  )
  await simulateCall({ url: app.url('/in'), patienceMs: Infinity, speech: null })
  t.equal(seen.length, 2)
  t.equal(seen[0], seen[1])
})

t.test('a refused socket is not retried, and its hook has no dial_call_duration', async (t) => {
  const answers: Array<[string, (connection: RawConnection) => void, string]> = [
    ...[200, 400, 403, 404, 426, 429, 500, 503].map(
      (status) =>
        [
          String(status),
          (connection: RawConnection) =>
            connection.socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`),
          'HS: ws upgrade response not 101'
        ] as [string, (connection: RawConnection) => void, string]
    ),
    ['401', (c) => c.socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n'), 'HS: ws upgrade unauthorized'],
    [
      'bad accept',
      (c) =>
        c.socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n'
        ),
      'HS: Accept hash wrong'
    ],
    ['another protocol', (c) => c.accept(['Sec-WebSocket-Protocol: chat']), 'HS: PROTOCOL malformed'],
    ['garbage', (c) => c.socket.write('SSH-2.0-OpenSSH\r\n\r\n'), 'read failed'],
    ['a closed connection', (c) => c.socket.destroy(), 'read failed'],
    ['a header of 4,000 bytes', (c) => c.accept([`X-Long: ${'x'.repeat(4_000)}`]), 'problems parsing header'],
    [
      'a relative redirect',
      (c) => c.socket.write('HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n'),
      'HS: Redirect failed'
    ]
  ]
  for (const [name, answer, text] of answers) {
    const { audio, app, call } = await listening(t, answer)
    const story = await call()
    t.match(story.listens[0]!.refused?.text, text, name)
    t.equal(audio.connections.length, 1, `${name}: no retry`)
    t.notOk('dial_call_duration' in hookOf(app), `${name}: no duration in the hook`)
    t.equal(story.errors.length, 1)
  }
})

t.test('a refused connection and an unanswered connection have different reasons', async (t) => {
  const closed = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
  const refused = await listening(t, accepting, { url: `ws://127.0.0.1:${closed}/audio` })
  t.match((await refused.call()).listens[0]!.refused?.text, 'conn fail: 111')
  const silent = await listening(
    t,
    () => {},
    {},
    { speed: 40, speech: null, press: [], patienceMs: Infinity }
  )
  const story = await silent.call()
  t.equal(
    story.listens[0]!.refused?.text,
    'Timed out waiting server reply',
    'after 10 s, scaled by the speed'
  )
})

t.test(
  'jambonz accepts an upgrade without subprotocol, with an extension, with long or many headers',
  async (t) => {
    for (const extra of [
      [],
      ['Sec-WebSocket-Extensions: permessage-deflate'],
      [`X-Long: ${'x'.repeat(3_800)}`],
      Array.from({ length: 40 }, (_, i) => `X-${i}: y`)
    ]) {
      const { call } = await listening(t, (connection) => connection.accept(extra))
      const story = await call()
      t.strictSame([story.errors, story.listens[0]!.refused], [[], undefined])
    }
  }
)

t.test('absolute redirects of the upgrade are followed', async (t) => {
  const second = await rawAudio(t, accepting)
  const { audio, call } = await listening(t, (connection) =>
    connection.socket.write(`HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1:${second.port}/there\r\n\r\n`)
  )
  const story = await call()
  t.equal(audio.connections.length, 1)
  t.match(second.connections[0]!.request, /^GET \/there HTTP/)
  t.ok(story.listens[0]!.sent.bytes > 0)
})

t.test('if a close is in the TCP segment of the 101, the server gets no frame', async (t) => {
  const { audio, app, call } = await listening(t, (connection) =>
    connection.accept([], serverFrame(0x88, Buffer.from([0x03, 0xe8])))
  )
  const story = await call()
  t.equal(audio.connections[0]!.bytes.length, 0)
  t.equal(story.listens[0]!.closedBy, 'server')
  t.equal(hookOf(app).dial_call_duration, 0)
})

t.test('a text in the same TCP segment as the 101 is delivered', async (t) => {
  const { call } = await listening(t, (connection) =>
    connection.accept([], serverFrame(0x81, Buffer.from('{"type":"json","hello":1}')))
  )
  t.strictSame((await call()).listens[0]!.received, [{ type: 'json', hello: 1 }])
})

t.test('each message is one masked frame with FIN and without reserved bits', async (t) => {
  const { audio, call } = await listening(t, accepting)
  const story = await call()
  const frames = audio.connections[0]!.frames()
  t.ok(frames.every((frame) => frame.masked && frame.fin && frame.rsv === 0))
  t.equal(frames[0]!.opcode, TEXT)
  t.strictSame(
    frames.slice(1, 4).map((frame) => [frame.opcode, frame.payload.length]),
    [
      [AUDIO, 320],
      [AUDIO, 320],
      [AUDIO, 320]
    ]
  )
  t.ok(
    audioOf(audio.connections[0]!).equals(thenKey(ramp(8_000))),
    'one second of speech arrives, sample for sample'
  )
  t.ok(story.listens[0]!.sent.pcm!.equals(thenKey(ramp(8_000))))
  t.equal(story.listens[0]!.sent.frames, 54)
})

t.test(
  "metadata has sampleRate and mixType first, then the call in camelCase, then the verb's own",
  async (t) => {
    const { audio, call } = await listening(
      t,
      accepting,
      { metadata: { from: 'overwritten', note: 'a "quoted" \\ word', nested: { a: 1 } } },
      { callSid: 'call-1', from: '123' }
    )
    await call()
    const metadata = JSON.parse(audio.connections[0]!.frames()[0]!.payload.toString()) as Record<
      string,
      unknown
    >
    t.strictSame(Object.keys(metadata).slice(0, 3), ['sampleRate', 'mixType', 'callSid'])
    t.match(metadata, {
      sampleRate: 8000,
      mixType: 'mono',
      callSid: 'call-1',
      callStatus: 'in-progress',
      from: 'overwritten',
      note: 'a "quoted" \\ word',
      nested: { a: 1 }
    })
  }
)

t.test("FreeSWITCH's tokenizer cuts and unquotes metadata", async (t) => {
  const first = async (t: Test, verb: Verb, options: Partial<SimulateCallOptions> = {}) => {
    const { audio, call } = await listening(t, accepting, verb, options)
    await call()
    return audio.connections[0]!.frames()[0]!.payload.toString()
  }
  const one = await first(t, {}, { from: "O'Brien" })
  t.match(one, '"from":"OBrien"', 'an apostrophe is lost')
  t.ok(one.endsWith("}'"), 'an apostrophe is left after the closing brace')
  t.throws(() => JSON.parse(one))
  t.match(
    JSON.parse(await first(t, { metadata: { a: "O'Brien", b: "it's" } })),
    { a: 'OBrien', b: 'its' },
    'two apostrophes are both lost, and the JSON is valid'
  )
  t.notMatch(
    await first(t, { metadata: { a: "O'Brien", b: 'x|zzz' } }),
    'zzz',
    'a | behind an apostrophe cuts the frame'
  )
  const quoted = await first(t, {}, { from: 'Joe "boss" Doe' })
  t.match(quoted, '"from":"Joe "boss" Doe"', 'a quote that listen.js did not escape arrives unescaped')
  t.throws(() => {
    JSON.parse(quoted)
  })
  t.match(
    JSON.parse(await first(t, { metadata: { a: 'say "hi"\n\ttwice \\ ' } })),
    { a: 'say "hi"\n\ttwice \\ ' },
    "strings in the verb's own metadata arrive unchanged"
  )
  t.equal((await first(t, { metadata: { long: 'x'.repeat(9_000) } })).length, 8_192, 'cut at 8192 bytes')
  for (const metadata of ['apostrophe', 'quote', 'cut'] as const) {
    const text = await first(t, {}, { faults: { metadata } })
    t.throws(() => {
      JSON.parse(text)
    }, `the fault ${metadata} makes the frame invalid JSON`)
  }
})

t.test('the metadata can be missing, or arrive between frames of audio', async (t) => {
  const none = await listening(t, accepting, {}, { faults: { noMetadata: true } })
  await none.call()
  t.notOk(none.audio.connections[0]!.frames().some((frame) => frame.opcode === TEXT))
  const late = await listening(t, accepting, {}, { faults: { lateMetadataMs: 200 } })
  await late.call()
  const opcodes = late.audio.connections[0]!.frames().map((frame) => frame.opcode)
  t.ok(opcodes.indexOf(TEXT) > 3)
  t.ok(audioOf(late.audio.connections[0]!).equals(thenKey(ramp(8_000))))
})

t.test(
  'audio from before the connection arrives as one message; of 3 s, the first 16,008 samples are lost',
  async (t) => {
    const speech = { pcm: ramp(29_000), sampleRate: 8_000 }
    const slow = await listening(t, accepting, {}, { faults: { slowUpgradeMs: 1_500 }, speech })
    await slow.call()
    const messages = slow.audio.connections[0]!.frames().filter((frame) => frame.opcode === AUDIO)
    t.equal(
      messages[0]!.payload.length,
      76 * 320,
      'the message includes the frame of the tick in which the socket is open'
    )
    t.equal(messages[1]!.payload.length, 320)
    const slower = await listening(t, accepting, {}, { faults: { slowUpgradeMs: 3_000 }, speech })
    const story = await slower.call()
    t.equal(
      audioOf(slower.audio.connections[0]!).readInt16LE(0),
      16_009,
      'the first sample that arrives is number 16,009'
    )
    t.ok(story.listens[0]!.overrun)
  }
)

t.test(
  'while the network is blocked, messages are merged; after 2 s, the buffer and 8 more samples are lost',
  async (t) => {
    const speech = { pcm: ramp(29_000), sampleRate: 8_000 }
    const lag = await listening(t, accepting, {}, { faults: { stall: { fromMs: 500, forMs: 100 } }, speech })
    await lag.call()
    const sizes = lag.audio.connections[0]!.frames()
      .filter((frame) => frame.opcode === AUDIO)
      .map((frame) => frame.payload.length)
    t.equal(Math.max(...sizes), 320 * 6, 'five frames are merged with the sixth')
    const stall = await listening(
      t,
      accepting,
      {},
      { faults: { stall: { fromMs: 500, forMs: 2_500 } }, speech }
    )
    const story = await stall.call()
    const audio = audioOf(stall.audio.connections[0]!)
    const jump = gap(audio)
    t.ok(story.listens[0]!.overrun)
    t.equal(jump, 16_000 + 8)
  }
)

// Returns how many samples are missing at the first jump in the ramp; 0 if the ramp has no jump.
function gap(pcm: Buffer): number {
  for (let at = 2; at < pcm.length; at += 2) {
    const step = pcm.readInt16LE(at) - pcm.readInt16LE(at - 2)
    if (step !== 1) return step - 1
  }
  return 0
}

t.test('after pauseListening(), no message is sent, and the audio has a gap', async (t) => {
  const { audio, call } = await listening(
    t,
    accepting,
    {},
    { speed: 4, press: [], speech: { pcm: ramp(29_000), sampleRate: 8_000 } }
  )
  const running = call()
  await running.waitFor('listen:open')
  await until(() => running.listens[0]!.sent.frames > 3)
  running.pauseListening()
  const { bytes } = running.listens[0]!.sent
  const pausedAt = running.now
  await until(() => running.now - pausedAt > 200)
  t.equal(running.listens[0]!.sent.bytes, bytes)
  running.resumeListening()
  await until(() => running.listens[0]!.sent.bytes > bytes + 3_200)
  running.hangUp()
  await running
  t.ok(gap(audioOf(audio.connections[0]!)) >= 160 * 9, 'at least 180 ms are missing')
})

t.test(
  'stereo has the caller left and what the caller hears right; stereo and mixed are sent a tick later',
  async (t) => {
    for (const mixType of ['stereo', 'mixed'] as const) {
      const { audio, call } = await listening(
        t,
        (connection) => {
          accepting(connection)
          connection.text(
            JSON.stringify({
              type: 'playAudio',
              data: {
                audioContentType: 'raw',
                sampleRate: 8000,
                audioContent: ramp(1_600, 5_001).toString('base64')
              }
            })
          )
        },
        { mixType }
      )
      await call()
      const messages = audio.connections[0]!.frames()
        .filter((frame) => frame.opcode === AUDIO)
        .map((frame) => frame.payload)
      t.equal(messages[0]!.length, mixType === 'stereo' ? 640 : 320)
      const pcm = Buffer.concat(messages)
      const width = mixType === 'stereo' ? 4 : 2
      t.equal(pcm.length, (8_000 + 640 - 160) * width, 'the last frame is missing')
      const heard = Array.from({ length: pcm.length / width }, (_, i) =>
        mixType === 'stereo' ? pcm.readInt16LE(i * 4 + 2) : pcm.readInt16LE(i * 2) - (i + 1)
      )
      const begin = heard.indexOf(5_001)
      t.ok(begin >= 0, 'the played sound is in the audio')
      t.strictSame(
        heard.slice(begin, begin + 1_600),
        Array.from({ length: 1_600 }, (_, i) => 5_001 + i)
      )
      if (mixType === 'stereo') t.equal(pcm.readInt16LE(0), 1)
    }
  }
)

t.test('another sample rate makes larger frames: 640 bytes at 16 kHz', async (t) => {
  const { audio, call } = await listening(t, accepting, { sampleRate: 16_000 })
  const story = await call()
  const sizes = audio.connections[0]!.frames()
    .filter((frame) => frame.opcode === AUDIO)
    .map((frame) => frame.payload.length)
  t.strictSame(sizes.slice(0, 3), [640, 640, 640])
  t.equal(story.listens[0]!.sent.bytes, 54 * 640)
  t.equal(JSON.parse(story.listens[0]!.metadataText).sampleRate, 16_000)
})

t.test('in stereo and mixed, each side is resampled separately', async (t) => {
  for (const [mixType, size] of [
    ['stereo', 1_280],
    ['mixed', 640]
  ] as const) {
    const { call } = await listening(t, accepting, { sampleRate: 16_000, mixType })
    const { sent } = (await call()).listens[0]!
    t.equal(sent.bytes, 53 * size)
  }
})

t.test('with resampling, a full buffer keeps its oldest two seconds and loses newer audio', async (t) => {
  const { audio, call } = await listening(
    t,
    accepting,
    { sampleRate: 16_000 },
    { faults: { stall: { fromMs: 500, forMs: 2_500 } }, speech: { pcm: ramp(29_000), sampleRate: 8_000 } }
  )
  const story = await call()
  t.ok(story.listens[0]!.overrun)
  t.ok(
    audio.connections[0]!.frames().some(({ payload }) => payload.length === 64_000),
    'two seconds arrive in one message'
  )
})

t.test('keys pressed before the socket is open are dropped', async (t) => {
  const { call } = await listening(
    t,
    accepting,
    { passDtmf: true },
    { press: ['5@100ms', '#@1s'], faults: { slowUpgradeMs: 500 } }
  )
  t.strictSame((await call()).listens[0]!.sent.texts.slice(1), [
    '{"event":"dtmf","dtmf":"#","duration":"800"}'
  ])
})

t.test('an answer to the upgrade may arrive in pieces; an invalid answer is refused', async (t) => {
  const pieces = await listening(t, (connection) => {
    const { socket } = connection
    const write = socket.write.bind(socket)
    socket.write = (bytes: Buffer | string) => {
      write(bytes.slice(0, 20))
      return setImmediate(() => write(bytes.slice(20))).hasRef()
    }
    accepting(connection)
  })
  t.ok((await pieces.call()).listens[0]!.sent.bytes > 0)
  for (const [answer, text] of [
    ['HTTP/1.1 abc\r\n\r\n', 'read failed'],
    ['HTTP/1.1 101 ' + 'x'.repeat(300_000), 'problems parsing header'],
    ['HTTP/1.1 302 Found\r\n\r\n', 'response not 101']
  ] as const) {
    const { call } = await listening(t, (connection) => {
      connection.socket.write(answer)
    })
    t.match((await call()).listens[0]!.refused?.text, text)
  }
})

t.test('with passDtmf, digits are sent as strings; the key of finishOnKey ends the listen', async (t) => {
  const { audio, app, call } = await listening(
    t,
    accepting,
    { passDtmf: true },
    { press: ['5@200ms', '#@400ms'] }
  )
  await call()
  const texts = audio.connections[0]!.frames()
    .filter((frame) => frame.opcode === TEXT)
    .slice(1)
    .map((frame) => frame.payload.toString())
  t.strictSame(texts, [
    '{"event":"dtmf","dtmf":"5","duration":"800"}',
    '{"event":"dtmf","dtmf":"#","duration":"800"}'
  ])
  t.match(hookOf(app), { digits: '#', dial_call_duration: 0, call_status: 'in-progress' })
})

t.test('if finishOnKey has several keys, a single key does not end the listen', async (t) => {
  const { app, call } = await listening(
    t,
    accepting,
    { finishOnKey: '12#', maxLength: 2 },
    { press: '12#', patienceMs: Infinity }
  )
  await call()
  t.notOk('digits' in hookOf(app))
  t.equal(hookOf(app).dial_call_duration, 2, 'maxLength ended the listen')
})

t.test('jambonz closes with 1000 and no reason, then sends FIN at once', async (t) => {
  const { audio, call } = await listening(t, accepting)
  const story = await call()
  const [connection] = audio.connections
  await until(() => connection!.ended)
  const last = connection!.frames().at(-1)!
  t.strictSame([last.opcode, last.payload], [CLOSE, Buffer.from([0x03, 0xe8])])
  t.match(story.listens[0], { closeCode: 1000, closedBy: 'jambonz' })
})

t.test('a close from the server is echoed with code and reason; an invalid code becomes 1002', async (t) => {
  const closeAfterMetadata = (payload: Buffer) => (connection: RawConnection) => {
    accepting(connection)
    connection.socket.once('data', () => connection.close(payload))
  }
  const cases: Array<[Buffer, Buffer, number]> = [
    ...[1000, 1001, 1003, 1008, 1009, 1011, 1013, 3000, 4000, 4999].map(
      (code) => [closing(code), closing(code), code] as [Buffer, Buffer, number]
    ),
    [closing(4000, 'enough'), closing(4000, 'enough'), 4000],
    [Buffer.alloc(0), Buffer.alloc(0), 1005],
    [closing(1005), closing(1002), 1005]
  ]
  for (const [sent, echoed, code] of cases) {
    const { audio, app, call } = await listening(t, closeAfterMetadata(sent))
    const story = await call()
    await until(() => audio.connections[0]!.ended)
    t.strictSame(audio.connections[0]!.frames().at(-1)!.payload, echoed)
    t.match(story.listens[0], { closeCode: code, closedBy: 'server' })
    t.ok('dial_call_duration' in hookOf(app))
    t.strictSame(story.errors, [])
  }
})

function closing(code: number, reason = ''): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)])
}

t.test(
  'a FIN or a reset without a close frame also ends the listen, and jambonz sends no more frames',
  async (t) => {
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const { audio, app, call } = await listening(t, (connection) => {
        accepting(connection)
        connection.socket.once('data', () => connection.socket[end]())
      })
      const story = await call()
      t.match(story.listens[0], { closeCode: 1006, closedBy: 'server' })
      t.notOk(audio.connections[0]!.frames().some((frame) => frame.opcode === CLOSE))
      t.ok('dial_call_duration' in hookOf(app))
    }
  }
)

t.test(
  'pings are answered; an invalid frame drops the connection; a masked frame is answered with 1002',
  async (t) => {
    const ping = await listening(t, (connection) => {
      accepting(connection)
      connection.socket.once('data', () =>
        connection.socket.write(
          Buffer.concat([0, 5, 125].map((size) => serverFrame(0x89, Buffer.alloc(size, 7))))
        )
      )
    })
    await ping.call()
    t.strictSame(
      ping.audio.connections[0]!.frames()
        .filter((frame) => frame.opcode === PONG)
        .map((frame) => frame.payload.length),
      [0, 5, 125]
    )

    const wrong: Array<[string, Buffer]> = [
      ['a reserved opcode', serverFrame(0x83, Buffer.from('x'))],
      ['rsv1', serverFrame(0xc1, Buffer.from('x'))],
      ['a ping of 126 bytes', serverFrame(0x89, Buffer.alloc(126))],
      ['a continuation without a first fragment', serverFrame(0x80, Buffer.from('x'))],
      [
        'a text between the fragments of a text',
        Buffer.concat([serverFrame(0x01, Buffer.from('{')), serverFrame(0x81, Buffer.from('{}'))])
      ]
    ]
    for (const [name, bytes] of wrong) {
      const { audio, call } = await listening(t, (connection) => {
        accepting(connection)
        connection.socket.once('data', () => connection.socket.write(bytes))
      })
      const story = await call()
      t.equal(story.listens[0]!.closeCode, 1006, name)
      t.notOk(
        audio.connections[0]!.frames().some((frame) => frame.opcode === CLOSE),
        `${name}: no close frame`
      )
    }

    const masked = await listening(t, (connection) => {
      accepting(connection)
      connection.socket.once('data', () =>
        connection.socket.write(serverFrame(0x81, Buffer.from('{}'), Buffer.from([1, 2, 3, 4])))
      )
    })
    await masked.call()
    const frames = masked.audio.connections[0]!.frames()
    const complaint = frames.findIndex((frame) => frame.opcode === CLOSE)
    t.strictSame(frames[complaint]!.payload, closing(1002, 'srv mask'))
    t.ok(
      frames.slice(complaint + 1).some((frame) => frame.opcode === AUDIO),
      'jambonz continues to send audio'
    )
  }
)

t.test(
  'if a call ends before the upgrade is answered, the connection stays open without metadata, audio or close',
  async (t) => {
    let answer: () => void = () => {}
    const { audio, app, call } = await listening(
      t,
      (connection) => {
        answer = () => accepting(connection)
      },
      {},
      { faults: { hangUpDuringUpgrade: true } }
    )
    const story = await call()
    t.ok(story.listens[0]!.orphan)
    t.equal(story.hangupBy, 'caller')
    t.equal(hookOf(app).call_status, 'completed')
    await until(() => (audio.connections[0]?.request ?? '') !== '')
    answer()
    const [connection] = audio.connections
    connection!.text('{"type":"disconnect"}')
    connection!.socket.write(serverFrame(0x89, Buffer.from('there?')))
    await until(() => connection!.frames().length > 0)
    t.strictSame(
      connection!.frames().map((frame) => [frame.opcode, frame.payload.toString()]),
      [[PONG, 'there?']],
      'the connection stays open, and only pongs are sent'
    )
    connection!.close(closing(1008))
    await connection!.closed
    t.pass('the connection ends when the server closes it')
  }
)

t.test('a connection dropped without a close ends the listen, and its hook is called', async (t) => {
  const { audio, app, call } = await listening(t, accepting, {}, { faults: { dropAfterMs: 300 } })
  const story = await call()
  await audio.connections[0]!.closed
  t.notOk(audio.connections[0]!.frames().some((frame) => frame.opcode === CLOSE))
  t.equal(story.listens[0]!.closeCode, 1006)
  t.equal(hookOf(app).dial_call_duration, 0)
})

t.test(
  'for a graceful shutdown, jambonz sends one empty binary frame, and waits for the close',
  async (t) => {
    const { audio, call } = await listening(
      t,
      (connection) => {
        accepting(connection)
        const onData = () => {
          if (connection.frames().at(-1)?.payload.length !== 0) return
          connection.socket.off('data', onData)
          setTimeout(() => connection.close(closing(1000)), 50)
        }
        connection.socket.on('data', onData)
      },
      {},
      { faults: { gracefulShutdown: true } }
    )
    const story = await call()
    await until(() => audio.connections[0]!.ended)
    const frames = audio.connections[0]!.frames()
    const empty = frames.findIndex((frame) => frame.opcode === AUDIO && frame.payload.length === 0)
    t.ok(empty > 0)
    t.strictSame(
      frames.slice(empty + 1).map((frame) => frame.opcode),
      [CLOSE],
      "after the empty frame, jambonz sends only the echo of the server's close"
    )
    t.equal(story.listens[0]!.closedBy, 'server')
  }
)

t.test(
  'if the server does not close after a graceful shutdown, the connection ends with the call',
  async (t) => {
    const { audio, call } = await listening(
      t,
      (connection) => {
        accepting(connection)
        connection.socket.on('data', () => {
          if (
            connection.frames().at(-1)?.payload.length === 0 &&
            connection.frames().filter((frame) => frame.payload.length === 0).length === 1
          ) {
            connection.socket.write(serverFrame(0x8a, Buffer.alloc(0)))
          }
        })
      },
      {},
      { faults: { gracefulShutdown: true } }
    )
    const story = await call()
    await audio.connections[0]!.closed
    t.equal(audio.connections[0]!.frames().filter((frame) => frame.payload.length === 0).length, 2)
    t.equal(story.listens[0]!.closeCode, 1006)
  }
)

t.test('the hook can be called before the socket is closed', async (t) => {
  const order: string[] = []
  const audio = await rawAudio(t, (connection) => {
    accepting(connection)
    connection.socket.on('end', () => order.push('close'))
  })
  const app = await application(t, {
    '/in': [
      { verb: 'listen', url: audio.url, actionHook: '/done', finishOnKey: '#' },
      { verb: 'pause', length: 1 }
    ],
    '/done': () => {
      order.push('hook')
      return []
    }
  })
  await simulateCall({ url: app.url('/in'), press: '#', faults: { hookBeforeCloseMs: 200 } })
  await until(() => order.length === 2)
  t.strictSame(order, ['hook', 'close'])
})

t.test('a fragmented message over 665,600 bytes is dropped; the next message is delivered', async (t) => {
  const text = (size: number) => Buffer.from(JSON.stringify({ type: 'json', data: 'x'.repeat(size) }))
  const fragments = (whole: Buffer, count: number) => {
    const size = Math.ceil(whole.length / count)
    return Buffer.concat(
      Array.from({ length: count }, (_, i) =>
        serverFrame(
          (i === 0 ? 1 : 0) | (i === count - 1 ? 0x80 : 0),
          whole.subarray(i * size, (i + 1) * size)
        )
      )
    )
  }
  const { call } = await listening(
    t,
    (connection) => {
      accepting(connection)
      connection.socket.once('data', () => {
        connection.socket.write(
          Buffer.concat([
            fragments(text(600_000), 2),
            fragments(text(670_000), 1_000),
            serverFrame(0x81, text(1_000_000)),
            serverFrame(0x81, text(1))
          ])
        )
      })
    },
    {},
    { patienceMs: 4_000, press: [] }
  )
  const { received } = (await call()).listens[0]!
  t.strictSame(
    received
      .filter((message) => typeof message === 'object')
      .map((message) => (message as { data: string }).data.length),
    [600_000, 1_000_000, 1]
  )
})

t.test(
  'wss and https work; a self-signed certificate is refused unless an option allows such certificates',
  async (t) => {
    for (const allowSelfSigned of [true, false]) {
      const sockets = new WebSocketServer({ noServer: true })
      const replies: Record<string, unknown> = {
        '/in': [{ verb: 'listen', url: '/audio', finishOnKey: '#' }, { verb: 'hangup' }]
      }
      const app = createTlsServer(certificate, (request, response) => {
        request.resume()
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify(replies[request.url!]))
      })
      app.on('upgrade', (request, socket, head) =>
        sockets.handleUpgrade(request, socket, head, () => {
          t.match(request.headers.origin, /^https:\/\/(localhost|127\.0\.0\.1)$/)
        })
      )
      await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve))
      t.teardown(() => app.close())
      const { port } = app.address() as { port: number }
      replies['/by-address'] = [
        { verb: 'listen', url: `wss://127.0.0.1:${port}/audio`, finishOnKey: '#' },
        { verb: 'hangup' }
      ]
      const byAddress = await simulateCall({ app, hook: '/by-address', allowSelfSigned, press: '#' })
      t.equal(byAddress.errors.length, allowSelfSigned ? 0 : 1)
      const story = await simulateCall({ url: `https://localhost:${port}/in`, allowSelfSigned, press: '#' })
      if (!allowSelfSigned) t.match(story.errors[0], /self-signed certificate/)
      else t.ok(story.errors.length === 0 && story.listens[0]!.sent.bytes > 0)
      const inside = await simulateCall({ app, hook: '/in', publicUrl: 'https://localhost', press: '#' })
      t.ok(
        inside.errors.length === 0 && inside.listens[0]!.sent.bytes > 0,
        'in process, the application is served without TLS'
      )
    }
  }
)

t.test('after some failures, the listen continues without a socket until the caller ends it', async (t) => {
  for (const url of ['Ws://127.0.0.1/x', 'ws://127.0.0.1:99999/x']) {
    const { app, call } = await listening(t, accepting, { url })
    const story = await call()
    t.ok(story.listens[0]!.refused)
    t.equal(hookOf(app).digits, '#', 'only the key ended the listen')
  }
  const failed = await new Promise<unknown[]>((resolve) => {
    const network = {
      agent: () => new Agent(),
      connect: () =>
        new Duplex({
          read() {
            this.destroy(Object.assign(new Error('no'), { code: 'ENOTFOUND' }))
          }
        })
    }
    const upgrade = new Upgrade(
      { network, clock: new Clock(Infinity), url: 'ws://nowhere.invalid/x', key: '', delayMs: 0 },
      {
        upgraded: () => {},
        failed: ({ text, status, silent }) => resolve([text, status, silent])
      }
    )
    t.ok(upgrade)
  })
  t.strictSame(failed, ['dns failed: nowhere.invalid', undefined, true])
  const failing = (connect: () => Duplex) =>
    new Promise<unknown[]>((resolve) => {
      const upgrade = new Upgrade(
        {
          network: { agent: () => new Agent(), connect },
          clock: new Clock(1),
          url: 'ws://10.0.0.1/x',
          key: '',
          delayMs: 0,
          timeoutMs: 250
        },
        { upgraded: () => {}, failed: ({ text, status, silent }) => resolve([text, status, silent]) }
      )
      t.ok(upgrade)
    })
  t.strictSame(
    await failing(() => new Duplex({ read() {} })),
    ['Unable to connect', undefined, false],
    'no SYN-ACK in time'
  )
  t.strictSame(
    await failing(
      () =>
        new Duplex({
          read() {
            this.destroy(new Error('odd'))
          }
        })
    ),
    ['read failed (odd)', undefined, false]
  )
})

t.test('urls are split as mod_audio_fork splits them, with the same mistakes', async (t) => {
  t.strictSame(splitAddress('ws://h:3000/p?q=1#f'), { host: 'h', port: 3000, path: '/p?q=1#f', tls: false })
  t.strictSame(splitAddress('wss://h/p'), { host: 'h', port: 443, path: '/p', tls: true })
  t.match(
    splitAddress('ws://h:3000?x=1'),
    { host: '3000?x=1', port: 80, path: '/' },
    'a query without a slash'
  )
  t.match(splitAddress('ws://user:pw@h:3000/p'), { host: 'pw@h' }, 'credentials in the url')
  t.match(splitAddress('ws://[::1]:3000/p'), { host: '1]' }, 'IPv6')
  t.equal(splitAddress('Ws://h/p'), undefined, 'mixed case')
  t.equal(splitAddress('ws://'), undefined, 'nothing')
})

t.test('a path of 690 characters crashes the media server, a path of 689 does not', async (t) => {
  for (const [length, crashes] of [
    [689, false],
    [690, true]
  ] as const) {
    const audio = await rawAudio(t, accepting)
    const path = '/' + 'a'.repeat(length - 1)
    const app = await application(t, {
      '/in': [
        { verb: 'listen', url: `ws://127.0.0.1:${audio.port}${path}`, maxLength: 1 },
        { verb: 'hangup' }
      ]
    })
    const story = await simulateCall({ url: app.url('/in'), patienceMs: Infinity, speech: null })
    t.equal(audio.connections.length, crashes ? 0 : 1)
    t.equal(
      story.errors.some((text) => text.startsWith('the media server crashed')),
      crashes
    )
  }
})
