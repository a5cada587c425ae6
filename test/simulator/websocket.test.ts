import t, { type Test } from 'tap'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createEndpoint, type Session } from '@jambonz/sdk/websocket'
import { WebSocketServer, type WebSocket } from 'ws'
import { simulateCall } from '../../lib/simulator/index.js'
import { until } from '../helpers/until.js'
import { application } from './peers.js'

interface Message {
  type: string
  msgid: string
  call_sid?: string
  hook?: string
  data: Record<string, unknown>
  b3?: string
}

interface Peer {
  url: (path?: string) => string
  port: number
  /** All messages of all sockets, in the order of arrival. */
  messages: Message[]
  of: (type: string) => Message[]
  texts: string[]
  sockets: WebSocket[]
  requests: IncomingMessage[]
  closes: number[]
  /** Sends a message over the socket that was opened last. */
  send: (message: object) => void
}

type Answer = (message: Message, socket: WebSocket, count: number) => unknown

const ack = (socket: WebSocket, { msgid }: Message, data?: unknown) =>
  socket.send(JSON.stringify({ type: 'ack', msgid, ...(data !== undefined && { data }) }))

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Starts an application websocket on plain `ws`. `answer` returns the data of the ack; undefined sends no
 * ack.
 */
async function wsApplication(
  t: Test,
  answer: Answer,
  options: { protocol?: string | false; refuse?: (count: number) => number | undefined } = {}
): Promise<Peer> {
  const server = createServer()
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: () => options.protocol ?? 'ws.jambonz.org'
  })
  const peer: Peer = {
    port: 0,
    url: (path = '/app') => `ws://127.0.0.1:${peer.port}${path}`,
    messages: [],
    of: (type) => peer.messages.filter((message) => message.type === type),
    texts: [],
    sockets: [],
    requests: [],
    closes: [],
    send: (message) => peer.sockets.at(-1)!.send(JSON.stringify(message))
  }
  server.on('upgrade', (request, stream, head) => {
    // This application refuses sockets for audio.
    if (request.headers['sec-websocket-protocol'] !== 'ws.jambonz.org') return stream.destroy()
    peer.requests.push(request)
    const status = options.refuse?.(peer.requests.length)
    if (status !== undefined) return stream.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
    sockets.handleUpgrade(request, stream, head, (socket) => {
      peer.sockets.push(socket)
      socket.on('close', (code) => peer.closes.push(code))
      socket.on('error', () => {})
      socket.on('message', (data) => {
        const message = JSON.parse(String(data)) as Message
        peer.texts.push(String(data))
        peer.messages.push(message)
        const given = answer(message, socket, peer.of(message.type).length)
        if (given !== undefined) ack(socket, message, given === null ? undefined : given)
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  peer.port = (server.address() as AddressInfo).port
  t.teardown(() => {
    for (const socket of peer.sockets) socket.terminate()
    server.close()
  })
  return peer
}

const talk = [{ verb: 'answer' }, { verb: 'pause', length: 1 }, { verb: 'hangup' }]
/**
 * Returns a function for `answer`. It acks session:new with the verbs, and other messages that need an ack
 * without data.
 */
const serving =
  (verbs: unknown[]): Answer =>
  ({ type }) =>
    type === 'session:new'
      ? verbs
      : ['call:status', 'verb:status', 'jambonz:error'].includes(type)
        ? undefined
        : null

t.test(
  'the upgrade has a subprotocol, a user-agent and the Basic credentials if there are any, but no signature',
  async (t) => {
    const app = await wsApplication(t, serving(talk))
    await simulateCall({
      url: app.url('/app?tenant=1#rc=2'),
      webhookAuth: { username: 'web', password: 'hook' }
    })
    await simulateCall({ url: app.url() })
    const [first, second] = app.requests
    t.match(first!.headers, {
      'user-agent': 'jambonz',
      'sec-websocket-protocol': 'ws.jambonz.org',
      'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits',
      'authorization': `Basic ${Buffer.from('web:hook').toString('base64')}`
    })
    t.equal(first!.url, '/app?tenant=1', 'the fragment is not sent')
    t.strictSame(
      [first!.headers['jambonz-signature'], second!.headers.authorization, first!.headers.origin],
      [undefined, undefined, undefined]
    )
  }
)

t.test("types and keys of messages have jambonz' order, with snake_case data, hook and b3", async (t) => {
  const app = await wsApplication(t, (message) => {
    if (message.type === 'session:new') {
      return [
        { verb: 'tag', data: { keptAsItIs: 1 } },
        { verb: 'answer' },
        { verb: 'listen', id: 'l1', url: '/nobody', actionHook: { url: '/done?x=1', method: 'GET' } }
      ]
    }
    return message.type === 'verb:hook' ? [{ verb: 'hangup' }] : undefined
  })
  const story = await simulateCall({
    url: app.url(),
    callSid: 'call-1',
    statusHook: '/status',
    env: { mainLanguage: 'de' }
  })
  t.strictSame(
    app.messages.map(({ type }) => type),
    ['session:new', 'call:status', 'call:status', 'verb:hook', 'call:status']
  )
  t.strictSame(
    app.texts.map((text) => Object.keys(JSON.parse(text) as object)),
    [
      ['type', 'msgid', 'call_sid', 'data', 'b3'],
      ['type', 'msgid', 'call_sid', 'data', 'b3'],
      ['type', 'msgid', 'call_sid', 'data', 'b3'],
      ['type', 'msgid', 'call_sid', 'hook', 'data', 'b3'],
      ['type', 'msgid', 'call_sid', 'data', 'b3']
    ]
  )
  const [first, trying, , hook, completed] = app.messages
  t.match(first, {
    call_sid: 'call-1',
    data: {
      sip: { method: 'INVITE', headers: { 'X-CID': String } },
      direction: 'inbound',
      call_sid: 'call-1',
      service_provider_sid: String,
      defaults: { synthesizer: {} },
      env_vars: { mainLanguage: 'de' }
    }
  })
  t.match(trying, { data: { call_status: 'trying', sip_status: 100 } })
  t.match(hook, { hook: '/done?x=1', data: { verb_id: 'l1', customerData: { keptAsItIs: 1 } } })
  t.match(completed, { data: { call_status: 'completed', call_termination_by: 'jambonz', duration: 0 } })
  t.equal(new Set(app.messages.map(({ msgid }) => msgid)).size, 5)
  t.ok(app.messages.every(({ msgid }) => msgid.length >= 20 && msgid.length <= 22))
  await until(() => app.closes.length === 1, 'the close')
  t.strictSame(app.closes, [1000])
  t.match(story.requests[0], {
    kind: 'webhook',
    transport: 'websocket',
    method: 'session:new',
    acked: true
  })
  t.match(
    story.requests.find(({ kind }) => kind === 'hook'),
    { method: 'verb:hook', hook: '/done?x=1' }
  )
  t.match(story.applicationSockets, [{ closeCode: 1000, closedBy: 'jambonz' }])
})

t.test('call:status is sent only if there is a status hook; an absolute http hook gets a POST', async (t) => {
  const status = await application(t, { '/status': {} })
  const app = await wsApplication(t, serving(talk))
  await simulateCall({ url: app.url() })
  t.equal(app.of('call:status').length, 0)
  await simulateCall({ url: app.url(), statusHook: status.url('/status') })
  t.equal(app.of('call:status').length, 0)
  t.equal(status.at('/status').length, 3)
})

t.test(
  'if the ack of session:new has no usable verbs, the call is refused, and the socket is closed with 1001',
  async (t) => {
    for (const data of [null, [], [{ verb: 'nonsense' }], { verb: 'say' }]) {
      const app = await wsApplication(t, () => data)
      const story = await simulateCall({ url: app.url() })
      t.match(story.errors.join(), /no application|refuses the application/, JSON.stringify(data))
      t.equal(story.verbs.length, 0)
      await until(() => app.closes.length === 1, 'the close')
      t.strictSame(app.closes, [1001])
    }
  }
)

t.test(
  'if the ack of session:new is late, the call is refused; if the ack of a hook is late, the next verb runs',
  async (t) => {
    const silent = await wsApplication(t, () => undefined)
    const refused = await simulateCall({ url: silent.url(), ackTimeoutMs: 300 })
    t.match(refused.errors[0], /session:new not acknowledged within 300 ms/)
    const late = await wsApplication(t, ({ type }) =>
      type === 'session:new'
        ? [{ verb: 'answer' }, { verb: 'listen', url: '/nobody', actionHook: '/done' }, { verb: 'hangup' }]
        : undefined
    )
    const story = await simulateCall({ url: late.url(), ackTimeoutMs: 300 })
    t.match(story.errors.join(), /verb:hook \/done not acknowledged within 300 ms/)
    t.strictSame(
      story.verbs.map(({ verb }) => verb),
      ['answer', 'listen', 'hangup']
    )
  }
)

t.test(
  "a first connection that fails is retried as the url's fragment says, after longer and longer waits",
  async (t) => {
    const failing = async (fragment: string, refuse: (count: number) => number | undefined) => {
      const app = await wsApplication(t, serving(talk), { refuse })
      const story = await simulateCall({ url: app.url(`/app${fragment}`) })
      return { attempts: app.requests.length, story }
    }
    t.equal((await failing('', () => 503)).attempts, 1)
    t.equal((await failing('', () => 401)).attempts, 1)
    const { attempts, story } = await failing('#rc=2&rp=5xx', () => 503)
    t.equal(attempts, 3)
    t.match(story.errors.join(), /503/)
    t.ok(story.durationMs >= 1_500, 'after 0, 0.5 and 1.5 s')
    t.equal((await failing('#rc=0&rp=4xx', () => 404)).attempts, 6, 'rc=0 means 5')
    const second = await failing('#rp=5xx', (count) => (count === 1 ? 503 : undefined))
    t.strictSame(second.story.errors, [])
    const closed = await simulateCall({ url: 'ws://127.0.0.1:1/x#rc=1' })
    t.match(closed.errors.join(), /ECONNREFUSED/)
  }
)

t.test('a server that does not select the subprotocol gets no messages', async (t) => {
  const app = await wsApplication(t, serving(talk), { protocol: false })
  const story = await simulateCall({ url: app.url() })
  t.match(story.errors.join(), /Server sent no subprotocol/)
})

t.test(
  'after a close, jambonz opens a new socket and sends session:reconnect; other messages wait for the ack',
  async (t) => {
    for (const close of [
      (socket: WebSocket) => socket.close(1012),
      (socket: WebSocket) => socket.terminate(),
      (socket: WebSocket) => socket.send('x'.repeat(24 * 1024 + 1))
    ]) {
      const app = await wsApplication(t, (message, socket) => {
        if (message.type === 'session:new') {
          setImmediate(() => close(socket))
          return [
            { verb: 'answer' },
            { verb: 'pause', length: 2 },
            { verb: 'listen', url: '/nobody', actionHook: '/done' }
          ]
        }
        return message.type === 'verb:hook'
          ? [{ verb: 'hangup' }]
          : message.type === 'session:reconnect'
            ? null
            : undefined
      })
      const story = await simulateCall({ url: app.url(), speed: 20 })
      t.strictSame(
        app.messages.map(({ type }) => type),
        ['session:new', 'session:reconnect', 'verb:hook'],
        close.toString()
      )
      const [first, again] = app.messages
      t.strictSame(again!.data, first!.data, 'session:reconnect has the data of session:new')
      t.notOk('b3' in again!)
      t.not(again!.msgid, first!.msgid)
      t.equal(story.applicationSockets.length, 2)
    }
  }
)

t.test(
  'after a close with 1000, jambonz runs its queued verbs, but sends no message and does not reconnect',
  async (t) => {
    const app = await wsApplication(t, (message, socket) => {
      if (message.type !== 'session:new') return undefined
      setImmediate(() => socket.close(1000))
      return [
        { verb: 'answer' },
        { verb: 'pause', length: 1 },
        { verb: 'listen', url: '/nobody', actionHook: '/done' }
      ]
    })
    const story = await simulateCall({ url: app.url(), statusHook: '/status', speed: 20 })
    t.strictSame(
      [app.requests.length, app.of('verb:hook').length, story.verbs.length, story.hangupBy],
      [1, 0, 3, 'jambonz']
    )
    t.notOk(app.of('call:status').some(({ data }) => data.call_status === 'completed'))
  }
)

t.test('the call is hung up if session:reconnect gets no ack', async (t) => {
  const app = await wsApplication(t, (message, socket) => {
    if (message.type !== 'session:new') return undefined
    setImmediate(() => socket.close(1012))
    return [{ verb: 'answer' }, { verb: 'pause', length: 3_000 }]
  })
  const story = await simulateCall({ url: app.url(), speed: 100, ackTimeoutMs: 300, patienceMs: Infinity })
  t.equal(story.hangupBy, 'jambonz')
  t.match(story.errors.join(), /session:reconnect not acknowledged/)
})

t.test('if session:new was never acked, the ack of session:reconnect contains the verbs', async (t) => {
  const app = await wsApplication(t, (message, socket) => {
    if (message.type === 'session:new') {
      socket.terminate()
      return undefined
    }
    return message.type === 'session:reconnect' ? talk : undefined
  })
  const story = await simulateCall({ url: app.url(), speed: 20 })
  t.strictSame(story.errors, [])
  t.strictSame(
    story.verbs.map(({ verb }) => verb),
    ['answer', 'pause', 'hangup']
  )
})

t.test('after five connections, jambonz reconnects only when it has the next request', async (t) => {
  const app = await wsApplication(t, (message, socket, count) => {
    if (message.type === 'session:new') {
      setImmediate(() => socket.terminate())
      return [
        { verb: 'answer' },
        { verb: 'pause', length: 60 },
        { verb: 'listen', url: '/nobody', actionHook: '/done' }
      ]
    }
    if (message.type === 'session:reconnect') {
      if (count < 5) setImmediate(() => socket.terminate())
      return null
    }
    return message.type === 'verb:hook' ? [{ verb: 'hangup' }] : undefined
  })
  const story = await simulateCall({ url: app.url(), speed: 50 })
  t.strictSame(
    app.messages.map(({ type }) => type),
    ['session:new', ...Array<string>(5).fill('session:reconnect'), 'verb:hook']
  )
  t.equal(story.applicationSockets.length, 6)
})

t.test(
  'redirect replaces or queues verbs, or makes jambonz send session:redirect; call:status hangs up',
  async (t) => {
    const app = await wsApplication(t, (message) => {
      if (message.type === 'session:new') return [{ verb: 'answer' }, { verb: 'pause', length: 3_000 }]
      if (message.type === 'session:redirect') return [{ verb: 'pause', length: 3 }]
      return undefined
    })
    const call = simulateCall({ url: app.url(), speed: 20, patienceMs: Infinity, hangUpAfterMs: 600_000 })
    const command = (name: string, data: unknown, extra = {}) =>
      app.send({ type: 'command', command: name, data, ...extra })
    const running = (verb: string, length?: number) =>
      call.waitFor('verb', (record) => record.verb === verb && record.data.length === length)
    await running('pause', 3_000)
    command('redirect', [{ verb: 'pause', length: 2_000 }])
    await running('pause', 2_000)
    command('redirect', [{ verb: 'pause', length: 1_000 }], { queueCommand: true })
    await call.waitFor('command', ({ queue }) => queue)
    command('redirect', { call_hook: '/elsewhere' })
    await running('pause', 3)
    t.match(app.of('session:redirect'), [{ hook: '/elsewhere', data: { call_status: 'in-progress' } }])
    await call.waitFor('command')
    command('call:status', { call_status: 'completed' })
    const story = await call
    t.equal(story.hangupBy, 'jambonz')
    t.strictSame(
      story.commands.map(({ command, note }) => [command, note]),
      [
        ['redirect', undefined],
        ['redirect', undefined],
        ['redirect', undefined],
        ['call:status', undefined]
      ]
    )
    t.strictSame(story.errors, [])
  }
)

t.test('a redirect without verbs ends the current verb, and the remaining verbs run', async (t) => {
  const app = await wsApplication(
    t,
    serving([{ verb: 'answer' }, { verb: 'pause', length: 3_000 }, { verb: 'hangup' }])
  )
  const call = simulateCall({ url: app.url(), speed: 20, patienceMs: Infinity, hangUpAfterMs: 600_000 })
  await call.waitFor('verb', ({ verb }) => verb === 'pause')
  app.send({ type: 'command', command: 'redirect', data: {} })
  const { hangupBy, verbs, commands, errors } = await call
  t.equal(hangupBy, 'jambonz')
  t.strictSame(
    verbs.map(({ verb }) => verb),
    ['answer', 'pause', 'hangup']
  )
  t.match(commands, [{ command: 'redirect', data: {}, note: undefined }])
  t.strictSame(errors, [])
})

t.test('after the last verb, jambonz waits for commands, and runs a queued verb at once', async (t) => {
  const app = await wsApplication(t, serving([{ verb: 'answer' }]))
  const call = simulateCall({ url: app.url(), speed: 20, patienceMs: Infinity, hangUpAfterMs: 600_000 })
  await call.waitFor('verb', ({ verb }) => verb === 'answer')
  await sleep(50)
  t.equal(call.now > 500, true, 'the call continues')
  app.send({ type: 'command', command: 'redirect', queueCommand: true, data: [{ verb: 'hangup' }] })
  t.equal((await call).hangupBy, 'jambonz')
  const patient = await simulateCall({ url: app.url(), patienceMs: 500 })
  t.equal(patient.hangupBy, 'caller', 'the caller hangs up at last')
})

t.test('a whisper with a say is silent in a listen on jambonz 0.9, which is a problem', async (t) => {
  const app = await wsApplication(t, serving([{ verb: 'listen', url: '/nobody', maxLength: 600 }]))
  const call = simulateCall({ url: app.url(), speed: 20, patienceMs: Infinity, hangUpAfterMs: 600_000 })
  await call.waitFor('verb')
  app.send({ type: 'command', command: 'whisper', data: { whisper: { verb: 'play', url: 'a.wav' } } })
  app.send({ type: 'command', command: 'whisper', data: { whisper: [{ say: { text: 'hello' } }] } })
  app.send({ type: 'command', command: 'call:status', data: { call_status: 'completed' } })
  const { problems, commands } = await call
  t.match(
    commands.map(({ note }) => note),
    [/not simulated/, /says nothing/, undefined]
  )
  t.match(
    problems.filter(({ code }) => code !== 'refused'),
    [{ code: 'whisperInListen', severity: 'error', change: /dub/ }]
  )
})

t.test('commands that fail inside the feature server are problems, since older ones crash', async (t) => {
  const app = await wsApplication(t, serving([{ verb: 'answer' }]))
  const call = simulateCall({ url: app.url(), speed: 20, patienceMs: Infinity, hangUpAfterMs: 600_000 })
  await call.waitFor('verb', ({ verb }) => verb === 'answer')
  await sleep(50)
  for (const [command, data] of [
    ['redirect', {}],
    ['listen:status', { listen_status: 'pause' }],
    ['redirect', [{ verb: 'say', txt: 'x' }]],
    ['redirect', [{ verb: 'hangup' }]]
  ] as const) {
    app.send({ type: 'command', command, data })
  }
  const { problems } = await call
  t.match(problems, [
    { code: 'featureServerCrash', what: /redirect failed: no verb runs/ },
    { code: 'featureServerCrash', what: /listen:status failed: no verb runs/ },
    { code: 'featureServerCrash', what: /redirect failed: .*txt/ }
  ])
  t.equal(problems.length, 3)
})

t.test('if a command kills a listen, the ack of its hook may replace the commanded verbs', async (t) => {
  const run = async (answer: unknown[] | null) => {
    const app = await wsApplication(t, ({ type }) =>
      type === 'session:new'
        ? [{ verb: 'listen', url: '/nobody', actionHook: '/done', maxLength: 600 }]
        : type === 'verb:hook'
          ? answer
          : undefined
    )
    const call = simulateCall({
      url: app.url(),
      speed: 20,
      patienceMs: Infinity,
      hangUpAfterMs: 600_000,
      onEvent: ({ name }) => {
        if (name === 'verb' && app.of('verb:hook').length === 0) {
          app.send({
            type: 'command',
            command: 'redirect',
            data: [{ verb: 'pause', length: 1 }, { verb: 'hangup' }]
          })
        }
      }
    })
    return (await call).verbs.map(({ verb }) => verb)
  }
  t.strictSame(await run(null), ['listen', 'pause', 'hangup'])
  t.strictSame(await run([{ verb: 'answer' }, { verb: 'hangup' }]), ['listen', 'answer', 'hangup'])
})

t.test(
  'invalid messages are answered with jambonz:error; acks of unknown messages are ignored',
  async (t) => {
    const app = await wsApplication(t, (message, socket) => {
      if (message.type !== 'session:new') return undefined
      socket.send('no json')
      socket.send('{}')
      socket.send('{"type":"ack"}')
      socket.send('{"type":"command"}')
      socket.send('{"type":"command","command":"redirect"}')
      socket.send('{"type":"other"}')
      socket.send('{"type":"ack","msgid":"nobody knows"}')
      return [{ verb: 'answer' }, { verb: 'pause', length: 2 }, { verb: 'hangup' }]
    })
    await simulateCall({ url: app.url(), speed: 20 })
    t.strictSame(
      app
        .of('jambonz:error')
        .map(({ data }) => [data.msg, String(data.details).replace(/^Unexpected.*/, 'json')]),
      [
        ['InvalidMessage', 'json'],
        ['InvalidMessage', 'type property not supplied'],
        ['InvalidMessage', 'msgid not supplied'],
        ['InvalidMessage', 'command property not supplied'],
        ['InvalidMessage', 'data property not supplied'],
        ['InvalidMessage', 'invalid type property: other']
      ]
    )
  }
)

t.test('verb:status messages are sent after config.notifyEvents', async (t) => {
  const app = await wsApplication(
    t,
    serving([
      { verb: 'answer' },
      { verb: 'config', notifyEvents: true },
      { verb: 'pause', id: 'p', length: 1 },
      { verb: 'hangup' }
    ])
  )
  await simulateCall({ url: app.url() })
  t.strictSame(
    app
      .of('verb:status')
      .map(({ data }) => [data.event, data.name, data.id])
      .slice(0, 3),
    [
      ['finished', 'config', undefined],
      ['starting', 'pause', 'p'],
      ['finished', 'pause', 'p']
    ]
  )
})

t.test('a redirect to a url with another scheme changes the transport', async (t) => {
  const http = await application(t, {
    '/http': [{ verb: 'redirect', actionHook: 'later' }],
    '/back': [{ verb: 'answer' }, { verb: 'hangup' }]
  })
  const second = await wsApplication(t, ({ type }) =>
    type === 'session:redirect' || type === 'session:new'
      ? [{ verb: 'redirect', actionHook: http.url('/back') }]
      : undefined
  )
  const first = await wsApplication(t, ({ type }, _socket) =>
    type === 'session:new'
      ? [{ verb: 'answer' }, { verb: 'redirect', actionHook: '/same' }]
      : type === 'session:redirect'
        ? [{ verb: 'redirect', actionHook: second.url('/other') }]
        : undefined
  )
  const story = await simulateCall({ url: first.url(), statusHook: '/status' })
  t.strictSame(story.errors, [])
  t.match(first.of('session:redirect'), [{ hook: '/same', call_sid: String }])
  t.equal(second.messages[0]!.type, 'session:redirect', 'first message of the new socket')
  t.notOk('call_sid' in second.messages[0]!)
  t.equal(second.messages[0]!.data.call_sid, story.callSid)
  t.ok(http.at('/back')[0]!.headers['jambonz-signature'])
  t.ok(
    first.of('call:status').some(({ data }) => data.call_status === 'completed'),
    'the status events are sent on the first socket'
  )
  await until(() => first.closes.length === 1, 'the socket for status events to close')
  t.strictSame([first.closes, second.closes], [[1000], []], 'the second socket is never closed')

  const again = await application(t, { '/in': [{ verb: 'redirect', actionHook: second.url('/from-http') }] })
  await simulateCall({ url: again.url('/in') })
  const message = second.messages.at(-1)!
  t.equal(message.type, 'session:new')
  t.notOk('sip' in message.data, 'the data has only the call attributes')
})

t.test('an application websocket works in process, without a port', async (t) => {
  const server = createServer()
  const sockets = new WebSocketServer({ server, handleProtocols: () => 'ws.jambonz.org' })
  sockets.on('connection', (socket) =>
    socket.on('message', (data) => ack(socket, JSON.parse(String(data)) as Message, talk))
  )
  const story = await simulateCall({ app: server, hook: '/app', transport: 'websocket' })
  t.strictSame(story.errors, [])
  t.equal(story.applicationSockets[0]!.url, 'ws://127.0.0.1/app')
})

t.test('the server of @jambonz/sdk gets verbs, hooks, commands and status', async (t) => {
  const server = createServer()
  const makeService = createEndpoint({ server, port: 0 })
  t.teardown(() => server.close())
  const events: unknown[] = []
  const sessions: Session[] = []
  makeService({ path: '/echo' }).on('session:new', (session) => {
    sessions.push(session)
    session
      .on('call:status', (data: { call_status: string }) => events.push(data.call_status))
      .on('verb:status', (data: { event: string; name: string }) => events.push(`${data.event} ${data.name}`))
      .on('close', (code: number) => events.push(code))
      .on('/echo', (event: { reason: string; speech?: { alternatives: Array<{ transcript: string }> } }) => {
        events.push(event.reason)
        if (event.reason === 'timeout') return session.hangup().reply()
        session
          .say({ text: `You said: ${event.speech!.alternatives[0]!.transcript}` })
          .gather({ input: ['speech'], actionHook: '/echo', timeout: 5, say: { text: 'Something else?' } })
          .reply()
      })
    session
      .notifyEvents()
      .gather({ input: ['speech'], actionHook: '/echo', timeout: 5, say: { text: 'Please say something.' } })
      .send()
  })
  if (!server.listening) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/echo`
  const story = await simulateCall({ url, transcripts: ['hello there'], statusHook: '/status' })
  t.strictSame(story.errors, [])
  t.strictSame(
    story.verbs.map(({ verb }) => verb),
    ['config', 'gather', 'say', 'gather', 'hangup']
  )
  await until(() => events.includes(1000), 'the close')
  t.strictSame(
    events.filter((event) => !String(event).includes(' ')),
    ['trying', 'in-progress', 'speechDetected', 'timeout', 'completed', 1000]
  )
  const call = simulateCall({ url, speed: 20, patienceMs: Infinity, hangUpAfterMs: 600_000 })
  await call.waitFor('verb', ({ verb }) => verb === 'gather')
  sessions.at(-1)!.injectCommand('redirect', [{ verb: 'pause', length: 1 }, { verb: 'hangup' }])
  t.equal((await call).hangupBy, 'jambonz')
})
