import { once } from 'node:events'
import t, { type Test } from 'tap'
import { Redis } from 'ioredis'
import type { FastifyInstance } from 'fastify'
import type { CallStore } from '../../lib/store/CallStore.js'
import { DEADLINES } from '../../lib/application/websocket/wire.js'
import { memoryStore } from '../../lib/store/memory.js'
import { redisStore } from '../../lib/store/redis.js'
import { serving, type BuildOptions } from '../helpers/build.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { openSocket } from '../helpers/socket.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

// These tests play jambonz with a socket each (feature-server lib/utils/ws-requestor.js). When a socket closes, jambonz
// drops the messages whose acks have not come, and does not send them again.

/** ms, far longer than each drain of these tests takes */
const LONG = 60_000

const say = (text: string) => ({ verb: 'say' as const, text })

/** A gate in a handler. `come` lists the callSids of the messages that wait for `open()`. */
class Gate {
  readonly come: string[] = []
  readonly #waiting: Array<() => void> = []

  async pass(callSid: string): Promise<void> {
    this.come.push(callSid)
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Lets the first message that waits pass. */
  open(): void {
    this.#waiting.shift()!()
  }
}

/** Starts an application whose hook /slow waits at a gate. In the result, `hooks` lists the callSids of its hooks. */
async function slowHooks(t: Test, options: BuildOptions = {}) {
  const gate = new Gate()
  const hooks: string[] = []
  const { app, url } = await serving(
    t,
    (app) => {
      app.jambonz.webhook('/call', async () => [say('hello')])
      app.jambonz.webhook('/quick', async ({ call }) => {
        hooks.push(call.callSid)
        return [say('quick')]
      })
      app.jambonz.webhook('/slow', async ({ call }) => {
        hooks.push(call.callSid)
        await gate.pass(call.callSid)
        return [say('slow')]
      })
    },
    options
  )
  const open = async (callSid: string): Promise<JambonzSocket> => {
    const socket = await JambonzSocket.open(t, `${url}/call`)
    await socket.ask('session:new', {}, { callSid })
    return socket
  }
  return { app, url, gate, hooks, open, ...draining(app) }
}

/** Returns `drain()`, which begins a drain. Its result's `over` becomes true when the drain has resolved. */
function draining(app: FastifyInstance) {
  return {
    drain: (timeoutMs = 0, options?: { handover: boolean }) => {
      const drain = { over: false, done: Promise.resolve() }
      drain.done = app.jambonz.drain(timeoutMs, options).then(() => {
        drain.over = true
      })
      return drain
    }
  }
}

/** Two instances with one Redis. */
async function twoInstances(t: Test) {
  const redis = await startRedis(t)
  const instance = () => {
    const client = new Redis(redis.url)
    t.teardown(() => client.disconnect())
    return slowHooks(t, { store: redisStore(client), secret: 'the same on all instances' })
  }
  return [await instance(), await instance()] as const
}

function hurry(t: Test, times: Partial<typeof DEADLINES>): void {
  const before = { ...DEADLINES }
  Object.assign(DEADLINES, times)
  t.teardown(() => Object.assign(DEADLINES, before))
}

const closed = (socket: JambonzSocket) => until(() => socket.code, 'the close')

t.test('a drain answers a message that comes while it waits for another socket', async (t) => {
  const { open, gate, hooks, drain } = await slowHooks(t)
  const [first, second] = [await open('first'), await open('second')]
  const slow = first.ask('verb:hook', {}, { callSid: 'first', hook: '/slow' })
  await until(() => gate.come.length === 1, 'the hook of the first call')
  const drained = drain()
  const asked = second.ask('verb:hook', {}, { callSid: 'second', hook: '/slow' })
  await until(() => gate.come.length === 2, 'the hook of the second call')
  gate.open()
  t.match(await slow, [{ text: 'slow' }])
  t.equal(await closed(first), 1012)
  t.equal(second.code, undefined, 'the second socket stays open')
  t.equal(drained.over, false)
  gate.open()
  t.match(await asked, [{ text: 'slow' }])
  t.equal(await closed(second), 1012)
  await drained.done
  t.strictSame(hooks, ['first', 'second'])
})

t.test('a drain answers a message that jambonz has sent, and that was not read yet', async (t) => {
  const { open, hooks, drain } = await slowHooks(t)
  const socket = await open('call-1')
  const drained = drain()
  // This instance reads the message only after the turn in which the drain began.
  const asked = socket.ask('verb:hook', {}, { hook: '/quick' })
  t.match(await asked, [{ text: 'quick' }])
  t.equal(await closed(socket), 1012)
  await drained.done
  t.strictSame(hooks, ['call-1'])
})

t.test('a drain answers the first message of a socket that has just opened', async (t) => {
  const { app, url, drain } = await slowHooks(t)
  const socket = await JambonzSocket.open(t, `${url}/call`)
  const drained = drain()
  t.match(await socket.ask('session:new'), [{ text: 'hello' }])
  t.equal(await closed(socket), 1012)
  await drained.done
  const { endedAt } = (await app.jambonz.calls.get('call-1'))!
  t.equal(endedAt, undefined)
})

t.test(
  'a drain answers the messages that jambonz held back until its reconnect was acknowledged',
  async (t) => {
    const { open, url, hooks, drain } = await slowHooks(t)
    const broken = await open('call-1')
    broken.drop()
    const socket = await JambonzSocket.open(t, `${url}/call`)
    const asked = new Promise<unknown>((resolve) => {
      let isFirst = true
      socket.onSent(({ type }) => {
        if (type !== 'ack' || !isFirst) return
        isFirst = false
        // jambonz sends the held messages some turns after the ack, here after it has answered a first ping.
        setImmediate(() => resolve(socket.ask('verb:hook', {}, { hook: '/quick' })))
      })
    })
    const drained = drain()
    await socket.ask('session:reconnect')
    t.match(await asked, [{ text: 'quick' }])
    t.equal(await closed(socket), 1012)
    await drained.done
    t.strictSame(hooks, ['call-1'])
  }
)

t.test('a drain reads what has come before it gives up the wait for pongs', async (t) => {
  const { open, hooks, drain } = await slowHooks(t)
  hurry(t, { pong: 10 })
  const socket = await open('call-1')
  const drained = drain()
  // The drain has sent its pings when these promises are settled.
  for (let turns = 0; turns < 50; turns++) await undefined
  const asked = socket.ask('verb:hook', {}, { hook: '/quick' })
  // The process stands still for longer than the patience. Afterwards its timers run before it reads.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  t.match(await asked, [{ text: 'quick' }])
  t.equal(await closed(socket), 1012)
  await drained.done
  t.strictSame(hooks, ['call-1'])
})

t.test('a drain does not wait for a peer that answers no pings', async (t) => {
  hurry(t, { pong: 100 })
  const { url, drain } = await slowHooks(t)
  const socket = await JambonzSocket.open(t, `${url}/call`, { autoPong: false })
  await socket.ask('session:new')
  await drain().done
  t.equal(await closed(socket), 1012)
})

t.test(
  'a message that crosses the close is handled once, and its verbs reach the next socket, on another instance',
  { skip: noRedis() },
  async (t) => {
    const [leaving, staying] = await twoInstances(t)
    const socket = await leaving.open('call-1')
    socket.onClosing(() => {
      socket.send('verb:hook', {}, { hook: '/slow' })
    })
    const drained = leaving.drain()
    t.equal(await closed(socket), 1012)
    await until(() => leaving.gate.come.length === 1, 'the handler')
    const next = await JambonzSocket.open(t, `${staying.url}/call`)
    await next.ask('session:reconnect')
    t.equal(drained.over, false, 'the drain waits for the handler')
    leaving.gate.open()
    await until(() => next.commands.length === 1, 'the verbs')
    t.match(next.commands, [{ command: 'redirect', data: [{ text: 'slow' }] }])
    await drained.done
    t.strictSame([leaving.hooks, staying.hooks], [['call-1'], []])
  }
)

t.test(
  'the verbs of a handler that is slower than its ack reach the next socket before the drain resolves',
  { skip: noRedis() },
  async (t) => {
    const [leaving, staying] = await twoInstances(t)
    const socket = await leaving.open('call-1')
    hurry(t, { ack: 100 })
    const asked = socket.ask('verb:hook', {}, { hook: '/slow' })
    await until(() => leaving.gate.come.length === 1, 'the handler')
    const drained = leaving.drain()
    t.equal(await asked, undefined, 'the ack has no verbs')
    t.equal(await closed(socket), 1012)
    const next = await JambonzSocket.open(t, `${staying.url}/call`)
    await next.ask('session:reconnect')
    t.equal(drained.over, false, 'the drain waits for the handler')
    leaving.gate.open()
    await drained.done
    await until(() => next.commands.length === 1, 'the verbs')
    t.match(next.commands, [{ command: 'redirect', data: [{ text: 'slow' }] }])
  }
)

t.test('a drain closes a socket only when the store knows that session:new is answered', async (t) => {
  const store = memoryStore()
  const write = store.write.bind(store)
  const writing: Array<() => void> = []
  store.write = async (callSid, parts) => {
    if (parts.some(({ patch }) => patch.call?.acknowledgedAt !== undefined)) {
      await new Promise<void>((resolve) => writing.push(resolve))
    }
    return await write(callSid, parts)
  }
  const { url, drain, open } = await slowHooks(t, { store: store as CallStore })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  await socket.ask('session:new')
  await until(() => writing.length === 1, 'the write')
  const other = open('call-2')
  await until(() => writing.length === 2, 'the second write')
  writing[1]!()
  const drained = drain()
  t.equal(await closed(await other), 1012)
  t.equal(socket.code, undefined, 'the socket stays open, since jambonz might reconnect at once')
  writing[0]!()
  t.equal(await closed(socket), 1012)
  await drained.done
})

t.test('a drain waits for the actionHook of a listen that has just ended', async (t) => {
  const hooks: unknown[] = []
  const { app, url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done' }])
    app.jambonz.actionHook('/done', async ({ listen }) => {
      hooks.push(listen.state)
      return [say('thanks')]
    })
  })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  const [verb] = (await socket.ask('session:new')) as [{ url: string; actionHook: string; metadata: object }]
  const audio = await openSocket(url + verb.url)
  audio.send(JSON.stringify({ callSid: 'call-1', sampleRate: 8000, mixType: 'mono', ...verb.metadata }))
  await once(app.jambonz.calls.events, 'stream')
  audio.close(1000)
  await until(() => app.jambonz.metrics().includes('jambonz_streams_live 0\n'), 'the end of the listen')
  // jambonz sends the hook some time after the listen's socket has closed: here when all pings are answered.
  let pings = 0
  const asked = new Promise<unknown>((resolve) => {
    socket.onPing(() => {
      if (++pings !== 2) return
      setImmediate(() =>
        resolve(socket.ask('verb:hook', { dial_call_duration: 1 }, { hook: verb.actionHook }))
      )
    })
  })
  const drained = app.jambonz.drain()
  t.match(await asked, [{ text: 'thanks' }])
  t.equal(await closed(socket), 1012)
  await drained
  t.strictSame(hooks, ['ended'])
})

t.test('while a drain without handover lets calls finish, a call may reconnect', async (t) => {
  const { app, url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done' }])
    app.jambonz.actionHook('/done', async () => [say('thanks')])
  })
  const { drain } = draining(app)
  const socket = await JambonzSocket.open(t, `${url}/call`)
  const [verb] = (await socket.ask('session:new')) as [{ url: string; actionHook: string; metadata: object }]
  const audio = await openSocket(url + verb.url)
  audio.send(JSON.stringify({ callSid: 'call-1', sampleRate: 8000, mixType: 'mono', ...verb.metadata }))
  const drained = drain(LONG)
  socket.drop()
  const next = await JambonzSocket.open(t, `${url}/call`)
  t.equal(await next.ask('session:reconnect'), undefined)
  audio.close(1000)
  t.match(await next.ask('verb:hook', { dial_call_duration: 1 }, { hook: verb.actionHook }), [
    { text: 'thanks' }
  ])
  t.equal(await closed(next), 1012)
  await drained.done
  await t.rejects(JambonzSocket.open(t, `${url}/call`), { message: '503' })
})

t.test('with handover, a draining instance refuses application websockets', async (t) => {
  const { url, open, gate, drain } = await slowHooks(t)
  const socket = await open('call-1')
  const slow = socket.ask('verb:hook', {}, { hook: '/slow' })
  await until(() => gate.come.length === 1, 'the hook')
  const drained = drain(LONG, { handover: true })
  await t.rejects(JambonzSocket.open(t, `${url}/call`), { message: '503' })
  gate.open()
  t.match(await slow, [{ text: 'slow' }])
  await drained.done
})

t.test('a drain writes the end of a call whose socket jambonz has just closed', async (t) => {
  const { app, open, drain } = await slowHooks(t)
  const ended: string[] = []
  app.jambonz.calls.events.on('callEnded', ({ callSid, callStatus }) =>
    ended.push(`${callSid} ${callStatus}`)
  )
  const [over, live] = [await open('over'), await open('live')]
  over.close(1000)
  await closed(over)
  await until(() => app.jambonz.metrics().includes('jambonz_application_sockets_live 1\n'), 'the close')
  t.strictSame(ended, [], 'jambonz may open another socket of the call')
  await drain().done
  t.strictSame(ended, ['over completed'])
  t.equal(await closed(live), 1012)
})

t.test('fastify.close() closes the application websocket of a call before it ends its listen', async (t) => {
  const { app, url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done' }])
    app.jambonz.actionHook('/done', async () => [])
  })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  const [verb] = (await socket.ask('session:new')) as [{ url: string; metadata: object }]
  const audio = await openSocket(url + verb.url)
  audio.send(JSON.stringify({ callSid: 'call-1', sampleRate: 8000, mixType: 'mono', ...verb.metadata }))
  let whenEnded: number | undefined
  audio.once('close', () => {
    whenEnded = socket.code
  })
  await app.close()
  await until(() => whenEnded, 'the end of the listen')
  t.equal(whenEnded, 1012, 'jambonz sends the actionHook to another instance')
})
