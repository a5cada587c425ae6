import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Listen } from '../../lib/index.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, folder, serving } from '../helpers/build.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { until } from '../helpers/until.js'

// The facts about jambonz' application websocket on which the plugin relies, each with its test.

const ANSWERS = 'test/application/answers.test.ts'
const SOCKET = 'test/application/websocket.test.ts'
const ATTACKS = 'test/application/attacks.test.ts'
const WIRE = 'test/application/wire.test.ts'
const RANDOM = 'test/application/randomOrder.test.ts'
const BOTH = 'test/application/transports.test.ts'
const SIMULATOR = 'test/simulator/websocket.test.ts'

/**
 * Each fact, the file of its test, and a part of the test's title. The simulator's tests cover what only
 * jambonz does.
 */
const FACTS: ReadonlyArray<readonly [fact: string, file: string, title: string]> = [
  [
    'one socket per call, on the path of the webhook',
    SOCKET,
    'the upgrade echoes the subprotocol; other requests to the path are served'
  ],
  ['the subprotocol must be echoed', SOCKET, 'the upgrade echoes the subprotocol'],
  ['jambonz offers permessage-deflate, which need not be accepted', WIRE, 'no websocket extension'],
  ['jambonz authenticates with Basic credentials only', SOCKET, 'the upgrade needs Basic credentials'],
  ['after a refusal with 503, jambonz tries the upgrade again', SOCKET, 'answers new ones with 503'],
  ['an ack over 24 KiB makes jambonz close the socket', SOCKET, 'verbs of more than 24 KiB'],
  ['so do late verbs over 24 KiB', ANSWERS, 'verbs longer than 24 KiB'],
  ['so do commanded verbs over 24 KiB', SOCKET, 'queued verbs of more than 24 KiB'],
  ['so does any other command over 24 KiB', WIRE, 'a command of more than 24 KiB'],
  [
    'jambonz sends no pings by default, so the server must detect a dead peer',
    SOCKET,
    'a peer that sends no pong'
  ],
  [
    'the hook is the url of the verb unchanged, whatever its host',
    SOCKET,
    'a hook reaches only webhooks and hooks'
  ],
  ['data is the same snake_case object as over HTTP', ATTACKS, 'messages that jambonz never sends'],
  ['not all messages have b3', ATTACKS, 'a message sets no header'],
  ['session:new is the webhook', BOTH, 'over both transports'],
  ['session:adulting comes on a socket of its own, at <url>/adulting', WIRE, 'session:adulting'],
  ['session:redirect by verb', BOTH, 'over both transports'],
  ['session:redirect by command', WIRE, 'a command with a call_hook'],
  ['verb:hook of any verb', BOTH, 'over both transports'],
  ['dial:confirm needs an ack', WIRE, 'dial:confirm'],
  ['call:status needs no ack, and names no hook', SOCKET, 'each message that needs an ack gets one'],
  [
    'verb:status, jambonz:error, llm and tts events need no ack',
    SOCKET,
    'each message that needs an ack gets one'
  ],
  ['the ack of session:new has verbs; acks of hooks need no verbs', ANSWERS, 'a slow handler'],
  ['an ack after 5 s is too late', ANSWERS, 'a slow handler'],
  ['acks in any order', RANDOM, 'messages in any order'],
  ['commands are not answered', SOCKET, 'commands start a listen in mid-call'],
  [
    'a killed listen still calls its hook, whose ack may replace the commanded verbs',
    SIMULATOR,
    'if a command kills a listen'
  ],
  ['dub, mute:status, call:status and queued redirects', SOCKET, 'commands start a listen'],
  [
    'a close with 1000 is final, so a live call is never closed with it',
    SOCKET,
    'never closes a live call with 1000'
  ],
  ['after a close with any other code, jambonz reconnects', SOCKET, 'drain sends the pending answers'],
  [
    'session:reconnect is acked, and all other messages wait for the ack',
    ANSWERS,
    'session:reconnect is acked'
  ],
  [
    'a session:new without an ack is answered by the ack of session:reconnect',
    ANSWERS,
    'is answered by the ack of session:reconnect'
  ],
  ['session:reconnect may reach another instance', ANSWERS, 'answered only by the next instance'],
  ['jambonz abandons the hooks of a socket that broke', ANSWERS, 'the verbs of a hook whose socket broke'],
  ['also if it reconnects to another instance', ANSWERS, 'late verbs are sent once'],
  ['a call without status hook ends when its socket closes', SOCKET, 'without a status hook'],
  ['after a redirect messages lack the top-level call_sid', SOCKET, 'a message without a top-level call_sid'],
  ['jambonz never closes a socket that it left after a redirect', SOCKET, 'a socket that jambonz left open'],
  ['a redirect changes the transport', WIRE, 'a call that changes its transport'],
  ['a relative listen url gets the Basic credentials of the application', BOTH, 'over both transports'],
  [
    'a listen sends the credentials of an earlier listen on its channel',
    WIRE,
    'a call that changes its transport'
  ],
  [
    'hooks with an http url are posted and signed; hooks with a ws url come over the socket',
    WIRE,
    'hooks with an http url'
  ],
  ['first connections, time limits and the order of messages', SIMULATOR, 'a first connection that fails']
]

const say = (text: string) => ({ verb: 'say' as const, text })

t.test('each fact about the protocol has a test', async (t) => {
  for (const [fact, file, title] of FACTS) {
    const names = readFileSync(file, 'utf8').matchAll(/\btest\(\s*(['"`])(.*?)\1,/gs)
    t.ok(
      [...names].some(([, , name = '']) => name.includes(title)),
      `${fact}: ${file}, "${title}"`
    )
  }
})

t.test('no websocket extension is accepted', async (t) => {
  const { url } = await serving(t, (app) => app.jambonz.webhook('/call', async () => [say('hello')]))
  const socket = await JambonzSocket.open(t, `${url}/call`)
  t.equal(socket.extensions, '')
})

t.test('session:adulting is answered by the webhook of its url', async (t) => {
  const { url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async ({ call, query }) => [say(`${call.callSid} ${JSON.stringify(query)}`)])
    app.jambonz.webhook('/own', async () => [say('not me')])
    app.jambonz.webhook('/own/adulting', async () => [say('me')])
    app.jambonz.webhook('/any/*', async () => [say('any')])
  })
  for (const [path, text] of [
    ['/call/adulting', 'leg-b {}'],
    ['/call?tenant=1/adulting', 'leg-b {"tenant":"1/adulting"}'],
    ['/own/adulting', 'me'],
    ['/any/thing/adulting', 'any']
  ] as const) {
    const socket = await JambonzSocket.open(t, url + path)
    const data = { call_sid: 'leg-b', parent_call_info: { call_sid: 'leg-a' } }
    t.match(await socket.ask('session:adulting', data, { callSid: null }), [{ text }], path)
  }
})

t.test('dial:confirm is answered by the route of its hook', async (t) => {
  const { url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async () => [say('hello')])
    app.jambonz.webhook('/confirm', async ({ call }) => [say(`confirm ${call.callSid}`)])
  })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  await socket.ask('session:new')
  t.match(await socket.ask('dial:confirm', { call_sid: 'leg-b' }, { hook: '/confirm' }), [
    { text: 'confirm leg-b' }
  ])
})

t.test('a command with a call_hook makes jambonz ask the webhook by session:redirect', async (t) => {
  const app = await build(t)
  app.jambonz.webhook('/call', async () => [{ verb: 'answer' }, { verb: 'pause', length: 3_000 }])
  app.jambonz.webhook('/elsewhere', async ({ query }) => [say(JSON.stringify(query)), { verb: 'hangup' }])
  const call = simulateCall({
    app,
    hook: '/call',
    transport: 'websocket',
    speed: 20,
    patienceMs: Infinity,
    hangUpAfterMs: 600_000
  })
  await call.waitFor('verb', ({ verb }) => verb === 'pause')
  await app.jambonz.calls.command(call.callSid, 'redirect', { call_hook: '/elsewhere?step=2' })
  const story = await call
  t.strictSame(story.errors, [])
  t.match(story.verbs.at(-2), { verb: 'say', data: { text: '{"step":"2"}' } })
})

t.test('a command of more than 24 KiB is an error, and the socket stays open', async (t) => {
  const { app, url } = await serving(t, (app) => app.jambonz.webhook('/call', async () => [say('hello')]))
  const socket = await JambonzSocket.open(t, `${url}/call`)
  await socket.ask('session:new')
  const { calls } = app.jambonz
  const long = 'ü'.repeat(13_000)
  await t.rejects(calls.command('call-1', 'llm:tool-output', { output: long }, { toolCallId: 'x' }), {
    code: 'FST_JAMBONZ_COMMAND_TOO_LONG',
    message: /llm:tool-output.*26\d\d\d bytes/
  })
  await calls.command('call-1', 'tts:tokens', { id: 1, tokens: 'short' })
  await until(() => socket.commands.length > 0, 'the command')
  t.match(socket.commands, [{ command: 'tts:tokens' }])
})

t.test('a command names the dialled leg that it concerns', async (t) => {
  const { app, url } = await serving(t, (app) => app.jambonz.webhook('/call', async () => [say('hello')]))
  const socket = await JambonzSocket.open(t, `${url}/call`)
  await socket.ask('session:new')
  const { calls } = app.jambonz
  const dub = { action: 'sayOnTrack', track: 'b', say: 'hello' }
  await calls.command('call-1', 'dub', dub, { legCallSid: 'leg-b' })
  await calls.command('call-1', 'dub', dub)
  await until(() => socket.commands.length === 2, 'the commands')
  // feature-server lib/utils/ws-requestor.js, _onMessage: obj.callSid || this.call_sid
  t.strictSame(socket.commands, [
    { type: 'command', command: 'dub', callSid: 'leg-b', data: dub },
    { type: 'command', command: 'dub', data: dub }
  ])
  await t.rejects(calls.command('call-1', 'dub', dub, { legCallSid: '' }), { code: 'FST_JAMBONZ_OPTIONS' })
})

t.test('a call that changes its transport stays one call, and each listen of it is recorded', async (t) => {
  const auth = { username: 'audio', password: 'of the sockets' }
  const ended: Listen[] = []
  const asked: string[] = []
  const { app, url } = await serving(
    t,
    (app) => {
      const listens = (next: string) => [
        { verb: 'listen' as const, actionHook: '/done', maxLength: 1 },
        { verb: 'redirect' as const, actionHook: next }
      ]
      const note = (name: string, transport: string | undefined) => asked.push(`${name} ${transport}`)
      app.jambonz.webhook('/first', async ({ jambonz, headers }) => {
        note('first', jambonz?.transport)
        return listens(`${jambonz?.transport === 'http' ? 'ws' : 'http'}://${headers.host}/second`)
      })
      app.jambonz.webhook('/second', async ({ jambonz, headers }) => {
        note('second', jambonz?.transport)
        return listens(`${jambonz?.transport === 'http' ? 'ws' : 'http'}://${headers.host}/third`)
      })
      app.jambonz.webhook('/third', async ({ jambonz }) => {
        note('third', jambonz?.transport)
        return [{ verb: 'listen', actionHook: '/done', maxLength: 1 }, { verb: 'hangup' }]
      })
      app.jambonz.actionHook('/done', async ({ listen }) => {
        ended.push(listen)
      })
      app.jambonz.statusHook('/status')
    },
    { auth, recording: { directory: folder() }, limits: { socketIdle: 300 } }
  )
  for (const scheme of ['http', 'ws']) {
    const story = await simulateCall({
      url: `${url.replace('http', scheme)}/first`,
      statusHook: `${url}/status`
    })
    t.strictSame(story.errors, [], scheme)
    await until(() => ended.length === 3, 'the hooks')
    t.strictSame(new Set(ended.map(({ callSid }) => callSid)), new Set([story.callSid]))
    for (const { recording, audio } of ended.splice(0)) t.equal(recording?.durationMs, audio.durationMs)
    const other = scheme === 'http' ? 'websocket' : 'http'
    const own = scheme === 'http' ? 'http' : 'websocket'
    t.strictSame(asked.splice(0), [`first ${own}`, `second ${other}`, `third ${own}`])
    await until(async () => (await app.jambonz.calls.get(story.callSid))?.endedAt, 'the end of the call')
    await until(
      () => app.jambonz.metrics().includes('jambonz_application_sockets_live 0'),
      'the sockets that jambonz forgets to be closed'
    )
  }
})

t.test('hooks with an http url are posted and signed; hooks with a ws url come over a socket', async (t) => {
  const webhookSecret = 'secret of the portal'
  const webhookAuth = { username: 'web', password: 'of the webhooks' }
  const seen: unknown[] = []
  const { url } = await serving(
    t,
    (app) => {
      app.jambonz.webhook('/call', async ({ headers: { host } }) => [
        {
          verb: 'listen',
          actionHook: { url: `http://${host}/done`, ...webhookAuth },
          maxLength: 1
        },
        { verb: 'listen', actionHook: `ws://${host}/done`, maxLength: 1 },
        { verb: 'hangup' }
      ])
      app.jambonz.actionHook('/done', async ({ listen, jambonz }) => {
        seen.push([jambonz?.transport, listen.state, listen.recording !== undefined])
      })
    },
    { webhookSecret, webhookAuth, recording: { directory: folder() } }
  )
  const story = await simulateCall({ url: `${url.replace('http', 'ws')}/call`, webhookSecret, webhookAuth })
  t.strictSame(story.errors, [])
  t.strictSame(seen, [
    ['http', 'ended', true],
    ['websocket', 'ended', true]
  ])
})
