import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  Hmac,
  createListenId,
  readSocketToken,
  signSocketToken,
  SOCKET_TOKEN_TTL
} from '../../lib/model/tokens.js'
import { memoryStore, type JambonzListenOptions } from '../../lib/index.js'
import { build, listening } from '../helpers/build.js'
import { askForListen } from '../helpers/listen.js'
import { openSocket, statusOf } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

const SECRET = 'signs the paths of sockets'

async function application(t: Test, options: JambonzListenOptions = {}) {
  const app = await build(t, { secret: SECRET, ...options })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
  app.jambonz.statusHook('/status')
  return { app, base: await listening(app) }
}

/** Sends a handshake over TCP and closes the connection. Resolves to the status line of the answer. */
async function handshake(url: string, headers: Record<string, string>, method = 'GET'): Promise<string> {
  const { hostname, port, pathname } = new URL(url)
  const socket = connect(Number(port), hostname)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`${method} ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\n${lines.join('')}\r\n`)
  const [answer = ''] = (await Promise.race([once(socket, 'data'), once(socket, 'close')])) as [
    Buffer | boolean
  ]
  socket.destroy()
  if (answer === false || answer === true) return ''
  return String(answer).split('\r\n')[0] ?? ''
}

const HANDSHAKE = {
  'Upgrade': 'websocket',
  'Connection': 'Upgrade',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol': 'audio.jambonz.org',
  'Sec-WebSocket-Version': '13'
}

t.test('a signed path contains its time and issuer, and opens only its own listen', async (t) => {
  const secret = new Hmac(SECRET)
  const issuedAt = Date.UTC(2026, 5, 1)
  const token = {
    path: '/audio',
    listenId: 'l1',
    issuedAt,
    unknown: false,
    paused: false,
    issuer: 'abc'
  } as const
  const text = signSocketToken(secret, token)
  t.match(text, /^l1\.[\w-]{22}$/)
  t.same(readSocketToken(secret, '/audio', text), token)
  t.same(readSocketToken(secret, '/audio', signSocketToken(secret, { ...token, unknown: true })), {
    ...token,
    unknown: true
  })
  for (const paused of ['silence', 'skip'] as const) {
    t.same(readSocketToken(secret, '/audio', signSocketToken(secret, { ...token, paused })), {
      ...token,
      paused
    })
  }
  t.equal(readSocketToken(secret, '/other', text), undefined)
  t.equal(readSocketToken(new Hmac('other'), '/audio', text), undefined)
  t.equal(readSocketToken(secret, '/audio', text, { username: 'a', password: 'b' }), undefined)
  for (let at = 0; at < text.length; at++) {
    if (at === 2) continue
    const forged = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
    t.equal(readSocketToken(secret, '/audio', forged), undefined, `altered at ${at}`)
  }
})

t.test('an expired path opens no socket, and the answer says that the path has expired', async (t) => {
  const { app, base } = await application(t)
  const { callSid, id } = await askForListen(app, '/in', base)
  const at = (ago: number): string =>
    `${base}/audio/${signSocketToken(new Hmac(SECRET), { path: '/audio', listenId: id, issuedAt: Date.now() - ago, unknown: true, paused: false, issuer: 'xyz' })}`
  t.equal(await statusOf(at(SOCKET_TOKEN_TTL + 10_000)), 410)
  t.match((await app.jambonz.calls.get(callSid))?.listens, [{ state: 'expected', instance: undefined }])
  t.equal(
    await statusOf(at(SOCKET_TOKEN_TTL - 60_000)),
    101,
    'a path just below the age limit opens a socket'
  )
})

t.test('the path of a call that is no longer stored opens no socket and creates no call', async (t) => {
  const { app, base } = await application(t, { callTtl: 200 })
  const { callSid, url } = await askForListen(app, '/in', base)
  await app.inject({
    method: 'POST',
    url: '/status',
    payload: { call_sid: callSid, call_status: 'completed' }
  })
  await until(async () => (await app.jambonz.calls.get(callSid)) === undefined, 'the call to be forgotten')
  t.equal(await statusOf(url), 404)
  t.equal(await app.jambonz.calls.get(callSid), undefined)

  const stranger = createListenId(new Hmac(SECRET), 'never-seen', 'x')
  const issuer = url.slice(-17).slice(0, 3)
  const known = signSocketToken(new Hmac(SECRET), {
    path: '/audio',
    listenId: stranger,
    issuedAt: Date.now(),
    unknown: false,
    paused: false,
    issuer
  })
  t.equal(await statusOf(`${base}/audio/${known}`), 404)
})

t.test('a call that still expects a socket is kept beyond callTtl', async (t) => {
  const { app, base } = await application(t, { callTtl: 100 })
  const { callSid, url, id } = await askForListen(app, '/in', base)
  const since = Date.now()
  await until(() => Date.now() - since > 400, 'four times callTtl')
  t.match(await app.jambonz.calls.get(callSid), { listens: [{ id }] })
  const socket = await openSocket(url)
  socket.terminate()
})

t.test('a request that is not a websocket handshake does not use up the path', async (t) => {
  const { app, base } = await application(t)
  const { callSid, url } = await askForListen(app, '/in', base)
  const rows: Array<Partial<Record<keyof typeof HANDSHAKE, string>>> = [
    { 'Sec-WebSocket-Key': '' },
    { 'Sec-WebSocket-Key': 'short' },
    { 'Sec-WebSocket-Version': '12' },
    { 'Sec-WebSocket-Version': '' },
    { 'Sec-WebSocket-Protocol': 'audio.jambonz.org, audio.jambonz.org' },
    { 'Sec-WebSocket-Protocol': 'audio.jambonz.org,' }
  ]
  for (const row of rows) {
    t.match(await handshake(url, { ...HANDSHAKE, ...row }), /^HTTP\/1\.1 400 /, JSON.stringify(row))
    await until(async () => isFree(app, callSid), 'the listen to be unclaimed again')
  }
  t.equal(await statusOf(url), 101)
})

t.test('a connection that breaks before the upgrade releases the listen', async (t) => {
  const store = memoryStore()
  const write = store.write.bind(store)
  // The connection breaks while the plugin claims the listen in the store, as when a caller hangs up.
  let breaks: (() => Promise<unknown>) | undefined
  store.write = async (callSid, parts) => {
    const written = await write(callSid, parts)
    const claims = parts.some(({ patch }) => patch.listens?.some(({ instance }) => instance))
    if (claims) await breaks?.()
    return written
  }
  const { app, base } = await application(t, { store })
  const { callSid, url } = await askForListen(app, '/in', base)
  const connected = once(app.server, 'connection') as Promise<[Socket]>
  const answer = handshake(url, HANDSHAKE)
  const [socket] = await connected
  breaks = async () => {
    const closed = once(socket, 'close')
    socket.destroy()
    return await closed
  }
  t.equal(await answer, '')
  breaks = undefined
  await until(async () => isFree(app, callSid), 'the listen to be unclaimed again')
  t.equal(await statusOf(url), 101)
})

t.test('the maximum length of a call_sid is in bytes', async (t) => {
  const { app } = await application(t)
  const post = async (callSid: string) =>
    (await app.inject({ method: 'POST', url: '/in', payload: { call_sid: callSid } })).statusCode
  t.equal(await post('ü'.repeat(64)), 200)
  t.equal(await post('ü'.repeat(65)), 400)
  t.equal(await post('🙂'.repeat(32)), 200)
  t.equal(await post('🙂'.repeat(33)), 400)
})

async function isFree(app: FastifyInstance, callSid: string): Promise<boolean> {
  const [listen] = (await app.jambonz.calls.get(callSid))?.listens ?? []
  return listen?.state === 'expected' && listen.instance === undefined
}
