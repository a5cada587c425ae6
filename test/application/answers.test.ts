import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { DEADLINES } from '../../lib/application/websocket/wire.js'
import type { CallStore } from '../../lib/index.js'
import { redisStore } from '../../lib/store/redis.js'
import { serving } from '../helpers/build.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

// Answers over an application websocket that are late, or whose socket has closed. Each answer must reach the
// call exactly once.

const say = (text: string) => ({ verb: 'say' as const, text })

const DEFAULTS = { ...DEADLINES }

/** Changes deadlines, to the end of this test, or until `setDeadlines(t, DEFAULTS)`. */
function setDeadlines(t: Test, times: Partial<typeof DEADLINES>): void {
  Object.assign(DEADLINES, times)
  t.teardown(() => Object.assign(DEADLINES, DEFAULTS))
}

/** Returns a handler. Each run of it waits until the test calls the run's function in `waiting`. */
function gated(text: string): {
  handler: () => Promise<[ReturnType<typeof say>]>
  waiting: Array<() => void>
} {
  const waiting: Array<() => void> = []
  return {
    waiting,
    handler: async () => {
      await new Promise<void>((resolve) => waiting.push(resolve))
      return [say(text)]
    }
  }
}

t.test('a slow handler gets an ack in time, and its verbs follow as a command', async (t) => {
  setDeadlines(t, { ack: 100 })
  const [first, hook] = [gated('first'), gated('hook')]
  const { url } = await serving(t, (app) => {
    app.jambonz.webhook('/call', first.handler)
    app.jambonz.webhook('/hook', hook.handler)
  })
  const socket = await JambonzSocket.open(t, `${url}/call`)
  const [verbs, none] = await Promise.all([
    socket.ask('session:new'),
    socket.ask('verb:hook', {}, { hook: '/hook' })
  ])
  t.match(verbs, [{ verb: 'pause' }], 'the ack of session:new must contain verbs')
  t.equal(none, undefined, 'the next verb runs')
  t.equal(socket.commands.length, 0)
  first.waiting[0]!()
  await until(() => socket.commands.length === 1, 'the first command')
  hook.waiting[0]!()
  await until(() => socket.commands.length === 2, 'the second')
  t.strictSame(
    socket.commands.map(({ command, queueCommand, data }) => [command, queueCommand, data]),
    [
      ['redirect', undefined, [say('first')]],
      ['redirect', undefined, [say('hook')]]
    ]
  )
})

t.test(
  'if a handler does not answer in time, the fallback is sent, and a later answer is dropped',
  async (t) => {
    setDeadlines(t, { ack: 50, answer: 150 })
    const slow = gated('too late')
    const { url } = await serving(t, (app) => app.jambonz.webhook('/call', slow.handler), {
      fallback: [say('sorry')]
    })
    const socket = await JambonzSocket.open(t, `${url}/call`)
    t.match(await socket.ask('session:new'), [{ verb: 'pause' }])
    await until(() => socket.commands.length === 1, 'the fallback')
    slow.waiting[0]!()
    await socket.ask('verb:hook', {}, { hook: '/none' })
    t.match(socket.commands, [{ command: 'redirect', data: [say('sorry')] }])
  }
)

t.test(
  'verbs longer than 24 KiB cause an error at once, even if they are too late for the ack',
  async (t) => {
    setDeadlines(t, { ack: 50 })
    const { url } = await serving(
      t,
      (app) => {
        app.jambonz.webhook('/call', async () => [say('hello')])
        app.jambonz.webhook('/hook', async () => {
          await until(() => socket.sent.length > 1, 'the empty ack')
          return Array.from({ length: 5 }, () => say('x'.repeat(6_000)))
        })
      },
      { fallback: [say('sorry')] }
    )
    const socket = await JambonzSocket.open(t, `${url}/call`)
    await socket.ask('session:new')
    t.equal(await socket.ask('verb:hook', {}, { hook: '/hook' }), undefined)
    await until(() => socket.commands.length === 1, 'the fallback')
    t.match(socket.commands, [{ data: [say('sorry')] }])
  }
)

t.test('session:reconnect is acked without verbs if session:new was acked', async (t) => {
  const { url } = await serving(t, (app) => app.jambonz.webhook('/call', async () => [say('hello')]))
  const first = await JambonzSocket.open(t, `${url}/call`)
  await first.ask('session:new')
  first.drop()
  const second = await JambonzSocket.open(t, `${url}/call`)
  t.equal(await second.ask('session:reconnect'), undefined)
  t.equal(second.sent.length, 1)
})

t.test('a session:new that was not acked is answered by the ack of session:reconnect', async (t) => {
  for (const when of ['before the reconnect', 'after it', 'too late for its ack']) {
    // Only the last handler is to miss its ack. A busy machine must not make the others late.
    if (when === 'too late for its ack') setDeadlines(t, { ack: 300 })
    const slow = gated('hello')
    const { url } = await serving(t, (app) => app.jambonz.webhook('/call', slow.handler))
    const first = await JambonzSocket.open(t, `${url}/call`)
    first.send('session:new', {})
    await until(() => slow.waiting[0], 'the handler')
    first.drop()
    await until(() => first.code !== undefined, 'the break')
    if (when === 'before the reconnect') slow.waiting[0]!()
    const again = await JambonzSocket.open(t, `${url}/call`)
    const answered = again.ask('session:reconnect')
    await again.ask('verb:hook', {}, { hook: '/none' })
    if (when === 'after it') slow.waiting[0]!()
    const verbs = await answered
    if (when === 'too late for its ack') {
      t.match(verbs, [{ verb: 'pause' }], when)
      slow.waiting[0]!()
      await until(() => again.commands.length === 1, 'the command')
    } else t.match(verbs, [{ text: 'hello' }], when)
    t.equal(slow.waiting.length, 1, 'the handler runs once')
    t.equal(again.sent.filter(({ type }) => type === 'ack').length, 2, 'each message is acked once')
  }
})

t.test('an instance that does not know a call answers its session:reconnect', async (t) => {
  const { url } = await serving(t, (app) => app.jambonz.webhook('/call', async () => [say('hello')]))
  const socket = await JambonzSocket.open(t, `${url}/call`)
  t.match(await socket.ask('session:reconnect'), [{ text: 'hello' }])
})

t.test('the verbs of a hook whose socket broke are sent once, on the next socket', async (t) => {
  for (const reconnectFirst of [true, false]) {
    const slow = gated('hook')
    const { url } = await serving(t, (app) => {
      app.jambonz.webhook('/call', async () => [say('hello')])
      app.jambonz.webhook('/hook', slow.handler)
    })
    const first = await JambonzSocket.open(t, `${url}/call`)
    await first.ask('session:new')
    first.send('verb:hook', {}, { hook: '/hook' })
    await until(() => slow.waiting[0], 'the handler')
    first.drop()
    await until(() => first.code !== undefined, 'the break')
    if (!reconnectFirst) slow.waiting[0]!()
    const second = await JambonzSocket.open(t, `${url}/call`)
    await second.ask('session:reconnect')
    if (reconnectFirst) slow.waiting[0]!()
    await until(() => second.commands.length > 0, 'the command')
    await second.ask('verb:hook', {}, { hook: '/none' })
    t.match(second.commands, [{ command: 'redirect', data: [say('hook')] }])
    t.equal(second.commands.length, 1)
  }
})

t.test('answers and commands if jambonz reconnects to another instance', { skip: noRedis() }, async (t) => {
  const redis = await startRedis(t)
  const spy = new Redis(redis.url)
  t.teardown(() => spy.disconnect())
  const published: string[] = []
  await spy.psubscribe('*')
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  /** number of instances, by the name of their test */
  const subscriptions = new Map<string, number>()
  spy.on('pmessage', (_pattern, _channel, message: string) => published.push(message))

  async function instances(
    t: Test,
    routes: (app: FastifyInstance) => void,
    secret?: string,
    change: (store: CallStore) => CallStore = (store) => store
  ) {
    const one = () => {
      const client = new Redis(redis.url)
      t.teardown(() => client.disconnect())
      return serving(t, routes, {
        store: change(redisStore(client, { prefix: `${t.name}:` })),
        secret: secret ?? 'the same on all instances',
        auth: { username: 'audio', password: 'the password of audio' }
      })
    }
    const three = [await one(), await one(), await one()] as const
    // An instance that has not subscribed to the channel yet gets no orders, and no outcomes of its own orders.
    const subscribed = (subscriptions.get(t.name) ?? 0) + three.length
    subscriptions.set(t.name, subscribed)
    await until(
      async () => Number((await client.pubsub('NUMSUB', `${t.name}:events`))[1]) === subscribed,
      'the instances to hear each other'
    )
    return three
  }
  /** Hangs up a call from the third instance while jambonz reconnects from the first to the second one. */
  async function hangUpWhileReconnecting(
    t: Test,
    [a, b, c]: Awaited<ReturnType<typeof instances>>
  ): Promise<void> {
    const call = newCall()
    const first = await JambonzSocket.open(t, `${a.url}/call`)
    await first.ask('session:new', {}, call)
    first.drop()
    await until(() => first.code !== undefined, 'the break')
    const hungUp = c.app.jambonz.calls.hangUp(call.callSid)
    const second = await JambonzSocket.open(t, `${b.url}/call`)
    await second.ask('session:reconnect', {}, call)
    await hungUp
    await until(() => second.commands.length === 1, 'the command')
    t.match(second.commands, [{ command: 'call:status' }])
  }

  let calls = 0
  const newCall = () => ({ callSid: `call-${++calls}-of-several` })

  t.test('late verbs are sent once, by the instance to which jambonz reconnects', async (t) => {
    for (const when of ['before the reconnect', 'after it']) {
      setDeadlines(t, DEFAULTS)
      const slow = gated('late')
      const [a, b, c] = await instances(t, (app) => {
        app.jambonz.webhook('/call', async () => [say('hello')])
        app.jambonz.webhook('/hook', async () => [...(await slow.handler()), { verb: 'listen' as const }])
      })
      const call = newCall()
      const first = await JambonzSocket.open(t, `${a.url}/call`)
      // Instance c had this call before the others. It must send nothing.
      const old = await JambonzSocket.open(t, `${c.url}/call`)
      await old.ask('session:new', {}, call)
      await first.ask('session:reconnect', {}, call)
      setDeadlines(t, { ack: 100 })
      t.equal(
        await first.ask('verb:hook', {}, { ...call, hook: '/hook' }),
        undefined,
        'the hook is acked in time, without verbs'
      )
      first.drop()
      await until(() => first.code !== undefined, 'the break')
      if (when === 'before the reconnect') slow.waiting[0]!()
      const second = await JambonzSocket.open(t, `${b.url}/call`)
      t.equal(await second.ask('session:reconnect', {}, call), undefined)
      if (when === 'after it') slow.waiting[0]!()
      await until(() => second.commands.length > 0, `the command, ${when}`)
      for (const socket of [second, old]) await socket.ask('verb:hook', {}, { ...call, hook: '/none' })
      t.match(second.commands, [{ data: [say('late'), { verb: 'listen', wsAuth: { username: 'audio' } }] }])
      t.strictSame(
        [second.commands.length, old.commands.length],
        [1, 0],
        'the verbs are sent once, on the second socket'
      )
      t.equal(slow.waiting.length, 1)
      t.equal((await b.app.jambonz.calls.get(call.callSid))?.listens.length, 1)
    }
    t.ok(published.some((message) => message.includes('"order"')))
    t.notOk(
      published.some((message) => /late|password of audio|\/audio\//.test(message)),
      'the messages between instances are encrypted'
    )
  })

  t.test('a session:new that was not acked is answered only by the next instance', async (t) => {
    const slow = gated('hello')
    const [a, b] = await instances(t, (app) => app.jambonz.webhook('/call', slow.handler))
    const call = newCall()
    const first = await JambonzSocket.open(t, `${a.url}/call`)
    first.send('session:new', {}, call)
    await until(() => slow.waiting[0], 'the handler')
    first.drop()
    const second = await JambonzSocket.open(t, `${b.url}/call`)
    const answered = second.ask('session:reconnect', {}, call)
    await until(() => slow.waiting[1], 'the handler of the other instance')
    for (const release of slow.waiting) release()
    t.match(await answered, [{ text: 'hello' }])
    await second.ask('verb:hook', {}, { ...call, hook: '/none' })
    t.equal(second.commands.length, 0, "the first instance's answer is dropped")
  })

  t.test('a command waits while its call reconnects, and is not refused by another instance', async (t) => {
    // On a busy machine, the reconnect takes longer than 2 s.
    setDeadlines(t, { command: 60_000 })
    await hangUpWhileReconnecting(
      t,
      await instances(t, (app) => app.jambonz.webhook('/call', async () => [say('hello')]))
    )
  })

  t.test('a command that waits is sent although no instance hears of the reconnect', async (t) => {
    setDeadlines(t, { command: 60_000 })
    const withoutNews = (store: CallStore): CallStore => {
      const tell = store.tell.bind(store)
      return Object.assign(store, {
        tell: (message: object) => 'holds' in message || tell(message)
      })
    }
    const routes = (app: FastifyInstance) => app.jambonz.webhook('/call', async () => [say('hello')])
    await hangUpWhileReconnecting(t, await instances(t, routes, undefined, withoutNews))
  })

  t.test(
    'a command that was sent resolves also if the news of the holder comes before its reply',
    async (t) => {
      setDeadlines(t, { command: 10_000 })
      const stores: CallStore[] = []
      const [a, , c] = await instances(
        t,
        (app) => app.jambonz.webhook('/call', async () => [say('hello')]),
        undefined,
        (store) => {
          stores.push(store)
          return store
        }
      )
      const [holder, , asking] = stores as [CallStore, CallStore, CallStore]
      const call = newCall()
      const socket = await JambonzSocket.open(t, `${a.url}/call`)
      await socket.ask('session:new', {}, call)
      let reads = 0
      const get = asking.get.bind(asking)
      asking.get = (callSid) => {
        reads++
        return get(callSid)
      }
      const tell = holder.tell.bind(holder)
      holder.tell = (message: object) => {
        if (!('ordered' in message)) return tell(message)
        // The reply is held back until the asking instance has heard the news, and has looked for the holder again.
        const before = reads
        tell({ holds: call.callSid, by: a.app.jambonz.instance })
        until(() => reads > before, 'the second look for the holder')
          .then(() => tell(message))
          .catch((err: unknown) => t.fail(err as Error))
      }
      await c.app.jambonz.calls.hangUp(call.callSid)
      await until(() => socket.commands.length > 0, 'the command')
      t.match(socket.commands, [{ command: 'call:status' }])
      t.equal(socket.commands.length, 1, 'the holder is asked once')
    }
  )

  t.test('an instance ignores an order that is forged or signed with another secret', async (t) => {
    const [a] = await instances(t, (app) => app.jambonz.webhook('/call', async () => [say('hello')]))
    const [, other] = await instances(t, () => {}, 'another secret, as long as it has to be')
    const call = newCall()
    const socket = await JambonzSocket.open(t, `${a.url}/call`)
    await socket.ask('session:new', {}, call)
    const forger = new Redis(redis.url)
    t.teardown(() => forger.disconnect())
    const channels = (await forger.pubsub('CHANNELS')) as string[]
    const sample = published.find((message) => message.includes('"order"'))
    const forged = [
      { order: { callSid: call.callSid, command: { command: 'call:status' } }, id: 'x', from: 'y' },
      { order: 'AAAA', id: 'x', from: 'y' },
      { order: JSON.stringify({ callSid: call.callSid, command: { command: 'x' } }), id: 'x', from: 'y' },
      null,
      1
    ]
    for (const channel of channels) {
      for (const message of forged) {
        const envelope = sample?.replace(/\{"order".*\}/, JSON.stringify(message)) ?? JSON.stringify(message)
        await forger.publish(channel, envelope)
      }
    }
    await t.rejects(other.app.jambonz.calls.hangUp(call.callSid), { code: 'FST_JAMBONZ_NOT_REACHED' })
    await socket.ask('verb:hook', {}, { ...call, hook: '/none' })
    t.equal(socket.commands.length, 0)
  })
})
