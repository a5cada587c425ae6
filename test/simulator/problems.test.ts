import type { Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import { WebSocketServer, type WebSocket } from 'ws'
import { simulateCall, wavOf, type ProblemCode, type SimulateCallOptions } from '../../lib/simulator/index.js'
import { application, ramp, type Route } from './peers.js'

type Severity = 'error' | 'warning'

const send = (socket: WebSocket, message: unknown) => socket.send(JSON.stringify(message))
const playAudio = (data: unknown) => ({ type: 'playAudio', data })
const sound = ramp(800).toString('base64')

async function problemsOf(
  t: Test,
  verb: object,
  react: (socket: WebSocket, url: string) => void,
  options: Partial<SimulateCallOptions> = {},
  before: unknown[] = []
) {
  const app = await application(
    t,
    { '/in': [...before, { verb: 'listen', url: '/audio', actionHook: '/done', ...verb }], '/done': [] },
    (socket, request) => socket.once('message', () => react(socket, request.url!))
  )
  const story = await simulateCall({ url: app.url('/in'), speech: null, ...options })
  for (const { then, change, atMs } of story.problems) {
    t.ok(
      then.length > 20 && change.length > 20 && Number.isInteger(atMs),
      'the text says what jambonz does, and what to change'
    )
  }
  return story.problems
}

/** Returns the TCP connection of a websocket, through which a test can send frames that ws would not send. */
const rawOf = (socket: WebSocket) => (socket as unknown as { _socket: Duplex })._socket

const streams = { bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8_000 } }
const after = (socket: WebSocket, frames: number, run: () => void) => {
  let count = 0
  socket.on('message', () => {
    if (++count === frames) run()
  })
}

t.test(
  'each mistake that an application can make with its audio socket is reported as a problem',
  async (t) => {
    const cases: Array<
      [string, object, (socket: WebSocket) => void, Array<[ProblemCode, Severity, RegExp]>]
    > = [
      [
        'a socket that is destroyed without a close frame',
        {},
        (socket) => after(socket, 70, () => socket.terminate()),
        [['tornDown', 'error', /without a close frame \(1006\), 1\.\d s after it opened/]]
      ],
      [
        'a compressed frame without an agreed extension',
        {},
        (socket) => rawOf(socket).write(Buffer.from([0xc1, 0x02, 0x7b, 0x7d])),
        [['brokenFrame', 'error', /a reserved bit is set/]]
      ],
      [
        'a masked frame',
        {},
        (socket) => rawOf(socket).write(Buffer.from([0x81, 0x82, 1, 2, 3, 4, 5, 6])),
        [
          ['brokenFrame', 'error', /a masked frame/],
          ['closedWithError', 'error', /1002/]
        ]
      ],
      [
        'a socket that is closed after 0.4 s',
        {},
        (socket) => after(socket, 20, () => socket.close(1000, 'bye')),
        [['closedEarly', 'warning', /closed the socket with 1000 'bye', 0\.\d s after/]]
      ],
      [
        'a server that closes with an error code',
        {},
        (socket) => socket.close(1011, 'out of memory'),
        [['closedWithError', 'error', /1011 'out of memory'/]]
      ],
      ['a disconnect', {}, (socket) => send(socket, { type: 'disconnect' }), []],
      ['text that is invalid JSON', {}, (socket) => socket.send('hello'), [['noJson', 'warning', /hello/]]],
      [
        'no type',
        {},
        (socket) => send(socket, { event: 'media' }),
        [['noType', 'warning', /"event":"media"/]]
      ],
      [
        'an unknown type',
        {},
        (socket) => send(socket, { type: 'media' }),
        [['unknownMessage', 'warning', /'media'/]]
      ],
      [
        'playAudio without a content type',
        {},
        (socket) => send(socket, playAudio({ audioContent: sound })),
        [['playAudioCrash', 'error', /without data\.audioContentType/]]
      ],
      [
        'playAudio without an object',
        {},
        (socket) => send(socket, playAudio(null)),
        [['playAudioCrash', 'error', /data: null/]]
      ],
      [
        'playAudio without data',
        {},
        (socket) => send(socket, { type: 'playAudio' }),
        [['playAudioWithoutData', 'error', /without data/]]
      ],
      [
        'playAudio without content',
        {},
        (socket) => send(socket, playAudio({ audioContentType: 'raw', sampleRate: 8_000 })),
        [['playAudioWithoutContent', 'error', /audioContent/]]
      ],
      [
        'playAudio of a text that is not base64',
        {},
        (socket) =>
          send(socket, playAudio({ audioContentType: 'raw', audioContent: '$$$', sampleRate: 8_000 })),
        [['playAudioWithoutContent', 'error', /no sample/]]
      ],
      [
        'playAudio of an mp3',
        {},
        (socket) => send(socket, playAudio({ audioContentType: 'mp3', audioContent: sound })),
        [['playAudioUnplayable', 'error', /'mp3'/]]
      ],
      [
        'playAudio with a rate as text',
        {},
        (socket) =>
          send(socket, playAudio({ audioContentType: 'raw', audioContent: sound, sampleRate: '8000' })),
        [['playAudioRate', 'warning', /"8000"/]]
      ],
      [
        'playAudio of base64 with line breaks',
        {},
        (socket) =>
          send(
            socket,
            playAudio({ audioContentType: 'raw', audioContent: `${sound}\n${sound}`, sampleRate: 8_000 })
          ),
        [['playAudioCut', 'warning', /base64/]]
      ],
      [
        'playAudio to a listen without audio to the caller',
        { bidirectionalAudio: { enabled: false } },
        (socket) =>
          send(socket, playAudio({ audioContentType: 'raw', audioContent: sound, sampleRate: 8_000 })),
        [['playAudioDisabled', 'error', /without bidirectional audio/]]
      ],
      [
        'playAudio to a listen in streaming mode',
        streams,
        (socket) =>
          send(socket, playAudio({ audioContentType: 'raw', audioContent: sound, sampleRate: 8_000 })),
        [['playAudioWhileStreaming', 'error', /streams/]]
      ],
      [
        'a whole WAV',
        {},
        (socket) =>
          send(
            socket,
            playAudio({ audioContentType: 'wav', audioContent: wavOf(ramp(800), 8_000).toString('base64') })
          ),
        []
      ],
      [
        'audio that is streamed without a sampleRate',
        { bidirectionalAudio: { enabled: true, streaming: true } },
        (socket) => socket.send(Buffer.alloc(16_000, 1)),
        [
          ['streamingWithoutRate', 'error', /without sampleRate/],
          ['swallowedAudio', 'error', /16000 bytes/]
        ]
      ],
      [
        'audio whose end stays in the prebuffer',
        streams,
        (socket) => {
          socket.send(ramp(1_280))
          socket.send(ramp(300))
        },
        [['unplayedTail', 'warning', /last 300 samples/]]
      ],
      [
        'audio padded with silence',
        streams,
        (socket) => socket.send(Buffer.concat([ramp(1_580), Buffer.alloc(1_280)])),
        []
      ],
      [
        'marks',
        streams,
        (socket) => {
          socket.send(ramp(16_000))
          send(socket, { type: 'mark', data: {} })
          for (let i = 0; i <= 30; i++) send(socket, { type: 'mark', data: { name: `m${i}` } })
        },
        [
          ['markIgnored', 'warning', /without a name/],
          ['markIgnored', 'warning', /'m30' is the 31st/]
        ]
      ],
      [
        'options without effect',
        { finishOnKey: '12', timeout: 5 },
        () => {},
        [
          ['listenOption', 'warning', /finishOnKey '12'/],
          ['listenOption', 'warning', /timeout/]
        ]
      ],
      [
        'credentials that are cut',
        { url: 'ws://127.0.0.1:1/', wsAuth: { username: 'u', password: 'p'.repeat(89) } },
        () => {},
        [
          ['longCredentials', 'error', /90 bytes/],
          ['refused', 'error', /conn fail/]
        ]
      ]
    ]
    for (const [title, verb, react, expected] of cases) {
      const problems = await problemsOf(t, verb, react)
      t.match(
        problems.map(({ code, severity, what }) => [code, severity, what]),
        expected,
        title
      )
      t.equal(problems.length, expected.length, title)
    }
  }
)

t.test('it is a problem if the end of one listen ends another listen of the call', async (t) => {
  const background = { verb: 'config', listen: { enable: true, url: '/background' } }
  const ending = await problemsOf(
    t,
    {},
    (socket, url) => {
      if (url === '/audio') after(socket, 70, () => socket.close(1000))
    },
    {},
    [background]
  )
  t.match(ending, [{ code: 'othersEnded', severity: 'warning', what: /ended 1 other listen of the call/ }])
  const playing = await problemsOf(
    t,
    {},
    (socket, url) => {
      if (url === '/audio') {
        send(socket, playAudio({ audioContentType: 'raw', audioContent: sound, sampleRate: 8_000 }))
      }
    },
    {},
    [background]
  )
  t.match(playing, [{ code: 'playAudioRepeated', what: /2 times/ }])
  const stream = await problemsOf(t, {}, () => {}, {}, [
    { verb: 'config', stream: { enable: true, url: '/background' } }
  ])
  t.match(stream, [{ code: 'configStream' }])
})

t.test('on jambonz 0.9, a server may select no subprotocol, but not another subprotocol', async (t) => {
  for (const [protocol, expected] of [
    [false, { code: 'noSubprotocol', severity: 'warning' }],
    [
      'graphql-ws',
      {
        code: 'refused',
        severity: 'error',
        what: /selected the subprotocol 'graphql-ws', but jambonz needs audio\.jambonz\.org/
      }
    ]
  ] as const) {
    const app = await application(t, { '/in': [{ verb: 'listen', url: '/audio' }] })
    app.server.removeAllListeners('upgrade')
    // ws lets its server select any subprotocol, because only the client of ws checks the choice.
    const sockets = new WebSocketServer({ server: app.server, handleProtocols: () => protocol })
    t.teardown(() => sockets.close())
    const story = await simulateCall({ url: app.url('/in'), speech: null })
    t.match(story.problems, [expected])
    t.equal(story.listens[0]!.protocol, protocol === false ? undefined : protocol)
  }
})

t.test(
  'a problem shows the body of an answer that refuses a socket, webhook or hook, or has no verbs',
  async (t) => {
    const advice = JSON.stringify({ message: 'check wsAuth of the verb: the password differs' })
    const refusing = async (routes: Record<string, Route>) => {
      const app = await application(t, routes)
      app.server.removeAllListeners('upgrade')
      app.server.on('upgrade', (_request, socket) => {
        socket.write(`HTTP/1.1 401 Unauthorized\r\nContent-Length: ${advice.length}\r\n\r\n`)
        setImmediate(() => socket.end(advice))
      })
      return await simulateCall({ url: app.url('/in'), speech: null })
    }
    const listen = { verb: 'listen', url: '/audio', actionHook: '/done' }
    const socket = await refusing({ '/in': [listen], '/done': [] })
    t.match(socket.listens[0]!.refused, { status: 401, body: advice })
    t.match(socket.problems, [{ code: 'refused', what: /status 401\).*the password differs/ }])
    const hooks = await refusing({
      '/in': [listen],
      '/done': { status: 500, body: 'no such table: calls' }
    })
    t.match(hooks.requests.at(-1), { status: 500, body: 'no such table: calls' })
    t.match(hooks.problems[1], { code: 'requestRefused', severity: 'error', what: /500: no such table/ })
    const webhook = await refusing({ '/in': { contentType: 'text/html', body: '<h1>It works!</h1>' } })
    t.match(webhook.problems, [{ code: 'answerIgnored', what: /something other than verbs: <h1>It works/ }])
    const object = await refusing({ '/in': { contentType: 'application/json', body: '{"ok":true}' } })
    t.match(object.problems, [{ code: 'answerIgnored', what: /\{"ok":true\}/ }])
    const typeless = await refusing({ '/in': { contentType: 'text/plain', body: '[{"verb":"hangup"}]' } })
    t.match(typeless.problems, [
      { code: 'answerIgnored', what: /content type is not application/, change: /content type/ }
    ])
    for (const body of ['[{"verb":"hang', '']) {
      const cut = await refusing({ '/in': { contentType: 'application/json', body } })
      t.match(cut.problems, [
        {
          code: 'answerInvalid',
          severity: 'error',
          what: /\/in was answered with 200, but the body is not the JSON that its content type names \(/
        }
      ])
    }
    const created = await refusing({
      '/in': [{ verb: 'gather', timeout: 1, actionHook: '/created' }],
      '/created': { status: 201, contentType: 'application/json', body: '[{"verb":"hangup"}]' }
    })
    t.match(created.problems, [
      { code: 'requestRefused', what: /was answered with 201/, then: /only the statuses 200, 202 and 204/ }
    ])
    const nobody = await refusing({
      '/in': [{ verb: 'gather', timeout: 1, actionHook: 'http://127.0.0.1:1/nobody' }]
    })
    t.match(nobody.problems, [
      {
        code: 'requestFailed',
        what: /ECONNREFUSED/,
        change: /start the application, check the host and port/
      }
    ])
  }
)

t.test(
  'audio that is lost because of a slow upgrade is a problem; a resampled listen loses no audio',
  async (t) => {
    const slow = { faults: { slowUpgradeMs: 3_000 }, speech: { pcm: ramp(28_000), sampleRate: 8_000 } }
    t.match(await problemsOf(t, {}, () => {}, slow), [{ code: 'lostAudio', what: /^2001 ms/ }])
    t.strictSame(await problemsOf(t, { sampleRate: 16_000 }, () => {}, slow), [])
  }
)

t.test('a problem shows the body of an answer that refuses the application websocket', async (t) => {
  const app = await application(t, {})
  const advice = 'check webhookAuth: this application expects HTTP Basic'
  app.server.removeAllListeners('upgrade')
  app.server.on('upgrade', (_request, socket) => {
    socket.write(`HTTP/1.1 401 Unauthorized\r\nContent-Length: ${advice.length}\r\n\r\n`)
    setImmediate(() => socket.end(advice))
  })
  const story = await simulateCall({ url: app.url('/in').replace('http:', 'ws:') })
  t.match(story.errors[0], /401 Unauthorized: check webhookAuth/)
})

t.test('errors that the feature server does not catch are reported, since older ones crash', async (t) => {
  const refusing = await application(t, {
    '/in': [{ verb: 'dial', target: [{ type: 'phone', number: '1' }] }],
    '/status': ({ json }) => ({ status: json.parent_call_sid === undefined ? 204 : 500 })
  })
  const dialled = await simulateCall({ url: refusing.url('/in'), statusHook: '/status', speech: null })
  t.match(
    dialled.problems.filter(({ code }) => code === 'featureServerCrash'),
    [{ severity: 'warning', what: /status event of a dialled leg failed: .*500/, then: /Before 0\.9\.5/ }]
  )
  const caller = await application(t, {
    '/in': [{ verb: 'answer' }, { verb: 'hangup' }],
    '/status': { status: 500 }
  })
  const { problems } = await simulateCall({ url: caller.url('/in'), statusHook: '/status' })
  t.notMatch(problems, [{ code: 'featureServerCrash' }], "jambonz catches the errors of the caller's own leg")
})

t.test('the playDone of a file that outlasts its listen goes to the next listen, or crashes', async (t) => {
  const file = playAudio({
    audioContentType: 'raw',
    sampleRate: 8_000,
    audioContent: ramp(8_000).toString('base64'),
    id: 'f'
  })
  const playing = (socket: WebSocket) => {
    send(socket, file)
    after(socket, 20, () => socket.close(1000))
  }
  const next = { verb: 'pause', length: 3 }
  const outlasted = async (verbs: unknown[]) => {
    const app = await application(
      t,
      { '/in': [{ verb: 'listen', url: '/first' }, ...verbs] },
      (socket, { url }) => url === '/first' && playing(socket)
    )
    return await simulateCall({ url: app.url('/in'), speech: null, hangUpAfterMs: 4_000 })
  }
  const alone = await outlasted([next])
  t.match(
    alone.problems.filter(({ code }) => code !== 'closedEarly'),
    [{ code: 'featureServerCrash', what: /before its file/ }]
  )
  const { problems, listens } = await outlasted([{ verb: 'listen', url: '/second' }])
  t.notMatch(problems, [{ code: 'featureServerCrash' }])
  t.match(listens[1]!.sent.texts[1], /"type":"playDone","data":\{"id":"f"/)
})

t.test('a background listen that replaces another at once is forgotten, and no config ends it', async (t) => {
  const listens = async (between: unknown[]) => {
    const background = (url: string) => ({ verb: 'config', listen: { enable: true, url } })
    const stop = { verb: 'config', listen: { enable: false } }
    const pause = { verb: 'pause', length: 1 }
    const verbs = [
      { verb: 'answer' },
      background('/one'),
      pause,
      stop,
      ...between,
      background('/two'),
      pause,
      stop,
      pause
    ]
    const app = await application(t, { '/in': verbs }, () => {})
    return await simulateCall({ url: app.url('/in'), speech: null })
  }
  const atOnce = await listens([])
  t.match(atOnce.problems, [{ code: 'backgroundForgotten', severity: 'warning' }])
  t.ok(atOnce.listens[1]!.closedAtMs! > 2_900, 'the second listen lasts until the call ends')
  const later = await listens([{ verb: 'pause', length: 0.1 }])
  t.strictSame(later.problems, [])
  t.ok(later.listens[1]!.closedAtMs! < 2_500)
})

t.test('a redirect whose actionHook is an object ends the call on jambonz 0.9', async (t) => {
  const app = await application(t, {
    '/in': [
      { verb: 'answer' },
      { verb: 'redirect', actionHook: { url: '/next' } },
      { verb: 'pause', length: 1 }
    ],
    '/next': [{ verb: 'hangup' }]
  })
  const story = await simulateCall({ url: app.url('/in') })
  t.match(story.problems, [{ code: 'redirectHook', severity: 'error', change: /as a string/ }])
  t.same([app.at('/next').length, story.verbs.length], [0, 2])
  const later = await simulateCall({ url: app.url('/in'), platform: '11' })
  t.same([later.problems, app.at('/next').length], [[], 1])
})
