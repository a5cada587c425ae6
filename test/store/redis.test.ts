import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Cluster, Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Call, CallStore, Listen } from '../../lib/index.js'
import { claimPart, watchPart } from '../../lib/model/listenLife.js'
import type { LostListen } from '../../lib/store/CallStore.js'
import { Clock, Instances } from '../../lib/store/redis/Instances.js'
import { Keys } from '../../lib/store/redis/keys.js'
import { redisStore, type RedisClient, type RedisStoreOptions } from '../../lib/store/redis.js'
import { folder } from '../helpers/build.js'
import { Lateness } from '../helpers/Lateness.js'
import { keepingLogger } from '../helpers/log.js'
import {
  freePort,
  movableAddress,
  noRedis,
  RedisServer,
  startRedis,
  watchCommands
} from '../helpers/redis.js'
import { withVerbs, type StoreWithVerbs } from '../helpers/storeVerbs.js'
import { until } from '../helpers/until.js'

const STORE_CHILD = join(import.meta.dirname, '../helpers/storeChild.js')
const TIMEOUT = 200
/** ms: long, because a busy machine delays heartbeats, and Redis has its own clock */
const HEARTBEAT = 1_000
/** ms that a busy machine may take for an operation that takes no time on an idle machine */
const SOON = 1_500

/** Options for a test in which Redis is always available and no instance dies, even on a busy machine. */
const CALM = { timeout: 10_000, heartbeat: 3_000 }

/** steps from a missed heartbeat to the end of a listen: a heartbeat finds the dead, then the end is written and told */
const STEPS_OF_DEATH = 3

interface Instance {
  store: StoreWithVerbs
  /** `callSid listenId` of each listen that the store reported as lost */
  lost: string[]
  /** the instances that the store reported as dead */
  died: Set<string>
  said: ReturnType<typeof keepingLogger>['said']
}

interface InstanceOptions extends RedisStoreOptions {
  name?: string
  callTtl?: number
}

async function instanceOf(
  t: Test,
  client: RedisClient,
  { name = 'a', callTtl = 60_000, ...options }: InstanceOptions = {}
): Promise<Instance> {
  const { logger, said } = keepingLogger()
  const lost: string[] = []
  const died = new Set<string>()
  const store = withVerbs(redisStore(client, { timeout: TIMEOUT, heartbeat: HEARTBEAT, ...options }), name)
  t.teardown(() => store.close())
  await store.start({
    callTtl,
    instance: name,
    logger,
    died: (instance) => died.add(instance),
    lost: async ({ callSid, listenId, instance }) => {
      if ((await store.lose(callSid, listenId, instance)).lost) lost.push(`${callSid} ${listenId}`)
    }
  })
  return { store, lost, died, said }
}

/** Starts a store that keeps the listens that it reports as lost. */
async function reporting(
  t: Test,
  server: RedisServer,
  instance: string
): Promise<{ store: CallStore; lost: LostListen[] }> {
  const lost: LostListen[] = []
  const store = redisStore(clientOf(t, server), { heartbeat: 100 })
  t.teardown(() => store.close())
  await store.start({
    callTtl: 60_000,
    instance,
    logger: keepingLogger().logger,
    lost: async (listen) => {
      lost.push(listen)
    }
  })
  return { store, lost }
}

function clientOf(t: Test, { url }: RedisServer): Redis {
  const client = new Redis(url, { lazyConnect: true })
  t.teardown(() => client.disconnect())
  return client
}

async function timed<T>(promise: Promise<T>): Promise<{ value: T; ms: number }> {
  const before = performance.now()
  return { value: await promise, ms: performance.now() - before }
}

function listenOf(call: Call | undefined, id: string) {
  return call?.listens.find((listen) => listen.id === id)
}

function isOver(listen: Listen | undefined): boolean {
  return listen?.state === 'ended'
}

t.test(
  'a client of another library, or an invalid option, is refused with an error that names it',
  async (t) => {
    // node-redis: duplicate() alone made it pass for a client of ioredis, and Redis then counted as away for ever.
    const ofNodeRedis = { isOpen: true, duplicate: () => ofNodeRedis, hGetAll: async () => ({}) }
    t.throws(() => redisStore(ofNodeRedis as unknown as RedisClient), {
      code: 'FST_JAMBONZ_REDIS_STORE',
      message: /package redis \(`createClient\(\)`\) has other methods/
    })
    t.throws(() => redisStore({} as RedisClient), { code: 'FST_JAMBONZ_REDIS_STORE', message: /new Redis/ })
    t.throws(() => redisStore(undefined as unknown as RedisClient), { code: 'FST_JAMBONZ_REDIS_STORE' })
    const client = new Redis({ lazyConnect: true })
    for (const options of [{ timeout: 0 }, { heartbeat: -1 }, { maxLocalCalls: Number.NaN }]) {
      t.throws(() => redisStore(client, options), {
        code: 'FST_JAMBONZ_REDIS_STORE',
        message: new RegExp(Object.keys(options)[0]!)
      })
    }
  }
)

t.test(
  'the clock of Redis is estimated from its replies, as exactly as the fastest round trip allows',
  async (t) => {
    const clock = new Clock()
    const reply = (aheadMs: number, tookMs: number): number => {
      const now = performance.now()
      const timeOfDay = performance.timeOrigin + now
      clock.heard((timeOfDay - tookMs / 2 + aheadMs) * 1_000, now - tookMs)
      return clock.now() - Math.round(timeOfDay)
    }
    const near = (ms: number): RegExp => new RegExp(`^-?${ms}$|^-?${ms - 1}$|^-?${ms + 1}$`)
    t.match(String(reply(4, 10)), near(0), 'a difference smaller than the round trip is ignored')
    t.match(String(reply(40, 10)), near(40))
    t.match(String(reply(43, 400)), near(40), 'a slow reply does not change the estimate')
    t.match(String(reply(41, 2)), near(41), 'a quick reply changes the estimate')
    t.match(
      String(reply(10_041, 400)),
      near(10_041),
      'a slow reply changes the estimate if the clock of Redis was set or the server was replaced'
    )
    const before = clock.next()
    reply(-60_000, 1)
    t.ok(clock.next() > before, 'versions only grow')
  }
)

t.test('the Redis store works with a real Redis server', { skip: noRedis(), jobs: 4 }, async (t) => {
  t.test(
    'calls continue without Redis, and are written when Redis is there',
    { buffered: true },
    async (t) => {
      const server = new RedisServer(await freePort(), [])
      t.teardown(() => server.remove())
      const started = await timed(instanceOf(t, clientOf(t, server)))
      t.ok(started.ms < TIMEOUT + SOON, `started in ${started.ms} ms`)
      const { store, said } = started.value
      const before = performance.now()
      t.match(await store.update('c1', { call: { from: 'Ann' }, listens: [{ id: 'l1', path: '/audio' }] }), {
        created: true,
        call: { from: 'Ann' }
      })
      t.match(await store.update('c1', { data: { x: 1 } }), { created: false })
      t.match(await store.claim('c1', 'l1'), { claimed: true })
      t.match(await store.claim('c1', 'l1'), { claimed: false }, 'without Redis, a second claim still fails')
      const waiting = store.waitFor('c1', 'l1', isOver, 60_000)
      await store.update('c1', { listens: [{ id: 'l1', state: 'ended', endReason: 'closed' }] })
      t.match(listenOf(await waiting, 'l1'), { endReason: 'closed' })
      t.match([(await store.end('c1', {})).first, (await store.end('c1', {})).first], [true, false])
      t.match(await store.list(), [{ callSid: 'c1' }])
      t.ok(performance.now() - before < SOON, 'at once')
      t.match(store.health?.(), { available: false, pending: 1 })

      await server.start()
      await until(() => store.health?.().available, 'the store')
      t.match(store.health?.(), { pending: 0, dropped: 0 })
      const { store: other } = await instanceOf(t, clientOf(t, server), { name: 'b' })
      t.match(await until(() => other.get('c1'), 'the other instance to find the call'), {
        from: 'Ann',
        data: { x: 1 },
        endedAt: String,
        listens: [{ id: 'l1', path: '/audio', state: 'ended', instance: 'a' }]
      })
      await until(async () => (await other.list()).length, 'the other instance to list the call')
      t.match(await other.list(), [{ callSid: 'c1' }])
      t.match([said('is away').length, said('is back').length], [1, 1], 'both events are logged once')
    }
  )

  t.test(
    'when Redis comes back empty after a kill, the instances write their live calls again',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const a = await instanceOf(t, clientOf(t, server), { name: 'a' })
      const b = await instanceOf(t, clientOf(t, server), { name: 'b' })
      await a.store.update('old', { call: { from: 'before' } })
      await a.store.update('c1', { call: { callStatus: 'trying' }, listens: [{ id: 'l1', path: '/audio' }] })
      await b.store.claim('c1', 'l1')
      await server.kill()
      const { ms } = await timed(
        Promise.all([
          a.store.update('c1', { call: { callStatus: 'in-progress' }, data: { first: true } }),
          b.store.update('c1', { listens: [{ id: 'l1', state: 'streaming', connected: true }] }),
          a.store.update('c2', { call: { from: 'during' } })
        ])
      )
      t.ok(ms < TIMEOUT + SOON, `${ms} ms`)
      t.match(
        await b.store.update('c1', {
          call: { callStatus: 'completed' },
          listens: [{ id: 'l1', state: 'ended', endReason: 'closed' }]
        }),
        { call: { listens: [{ path: '/audio', state: 'ended' }] } }
      )

      await server.start()
      const back = await timed(
        until(
          () => a.store.health?.().available && b.store.health?.().available,
          'both stores to be available'
        )
      )
      t.ok(back.ms < 5_000, `back in ${back.ms} ms`)
      for (const { store } of [a, b]) {
        t.match(await store.get('c1'), {
          callStatus: 'completed',
          data: { first: true },
          listens: [{ id: 'l1', path: '/audio', state: 'ended', instance: 'b' }]
        })
        t.match(await store.get('old'), { from: 'before' })
        t.match(await store.get('c2'), { from: 'during' })
        t.strictSame((await store.list()).map(({ callSid }) => callSid).sort(), ['c1', 'c2', 'old'])
      }
      t.match([a.lost, b.lost], [[], []], 'no instance was declared dead')
    }
  )

  t.test(
    'writes while Redis is unreachable are applied later, in the order in which they were made',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const a = await instanceOf(t, clientOf(t, server), { name: 'a' })
      const b = await instanceOf(t, clientOf(t, server), { name: 'b' })
      for (let i = 0; i < 5; i++) await Promise.all([a.store.update('c2', {}), b.store.update('c2', {})])
      await server.kill()
      // Instance a gets the webhook, and instance b the socket. The write of a is made first, but reaches
      // Redis last.
      await a.store.update('c1', { listens: [{ id: 'l1', state: 'expected', path: '/audio' }] })
      await a.store.update('c2', { call: { callStatus: 'one' } })
      await networkTrip()
      await b.store.claim('c1', 'l1')
      await b.store.update('c1', { listens: [{ id: 'l1', state: 'streaming' }] })
      await b.store.update('c2', { call: { callStatus: 'two' } })
      await networkTrip()
      await a.store.update('c2', { call: { callStatus: 'three' } })
      await server.start()
      await until(
        () => [a, b].every(({ store }) => store.health?.().available),
        'both stores to be available'
      )
      t.match(await a.store.get('c1'), { listens: [{ state: 'streaming', path: '/audio', instance: 'b' }] })
      t.match(await b.store.get('c2'), { callStatus: 'three' })
    }
  )

  t.test('a call that ended while Redis was unreachable stays ended', { buffered: true }, async (t) => {
    const server = await startRedis(t)
    const a = await instanceOf(t, clientOf(t, server), { name: 'a' })
    const b = await instanceOf(t, clientOf(t, server), { name: 'b' })
    for (const callSid of ['c1', 'c2']) await a.store.update(callSid, { call: { callStatus: 'trying' } })
    await server.kill()
    const late = { call: { callStatus: 'in-progress' } }
    for (const [callSid, one, other] of [
      ['c1', a, b],
      ['c2', b, a]
    ] as const) {
      await one.store.end(callSid, { call: { callStatus: 'completed' } })
      await networkTrip()
      await other.store.update(callSid, late)
      t.match(await one.store.update(callSid, late), { call: { callStatus: 'completed' } })
    }
    await server.start()
    await until(() => [a, b].every(({ store }) => store.health?.().available), 'both stores to be available')
    for (const { store } of [a, b]) {
      for (const callSid of ['c1', 'c2']) {
        t.match(await store.get(callSid), { callStatus: 'completed', endedAt: String })
      }
    }
  })

  t.test(
    'if Redis hangs, writes are delayed only once, by the timeout of one command',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const { store, said } = await instanceOf(t, clientOf(t, server))
      await store.update('c1', { call: { callStatus: 'trying' } })
      server.pause()
      const first = await timed(
        Promise.all([
          store.update('c1', { call: { callStatus: 'ringing' } }),
          store.get('c1'),
          store.claim('c1', 'l1'),
          store.list()
        ])
      )
      t.ok(first.ms < TIMEOUT + SOON, `${first.ms} ms`)
      const next = await timed(store.update('c1', { call: { callStatus: 'in-progress' } }))
      t.ok(next.ms < TIMEOUT, `${next.ms} ms`)
      // The commands that waited in Redis run now. Meanwhile this instance has made later writes in memory.
      server.resume()
      await until(() => store.health?.().available, 'the store')
      t.match(await store.get('c1'), { callStatus: 'in-progress', listens: [{ instance: 'a' }] })
      t.equal(said('is away').length, 1)
    }
  )

  t.test(
    'if Redis is out of memory, calls continue in the process, and are written when Redis has room',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const client = clientOf(t, server)
      const { store } = await instanceOf(t, client)
      await store.update('c1', { data: { before: 1 } })
      await client.config('SET', 'maxmemory', '1')
      t.match(await store.update('c1', { data: { during: 2 } }), {
        created: false,
        call: { data: { before: 1, during: 2 } }
      })
      t.match(
        [await store.get('c1'), store.health?.()],
        [{ data: { during: 2 } }, { available: false, pending: 1 }]
      )
      await client.config('SET', 'maxmemory', '0')
      await until(() => store.health?.().available, 'room')
      t.match(JSON.parse((await client.hget('jambonz:call:{c1}', 'd:during'))?.split(' ')[1] ?? ''), 2)
    }
  )

  t.test(
    'while Redis is unreachable, the number of calls in memory is limited, and dropped calls are counted',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const { store } = await instanceOf(t, clientOf(t, server), { maxLocalCalls: 5 })
      for (let i = 0; i < 3; i++) await store.update(`known${i}`, {})
      await until(() => store.health().available && store.health().pending === 0, 'Redis to have the calls')
      await server.kill()
      for (let i = 0; i < 7; i++) await store.update(`new${i}`, {})
      t.match(
        store.health?.(),
        { available: false, pending: 5, dropped: 2 },
        'calls that Redis has are dropped first'
      )
      t.strictSame((await store.list()).map(({ callSid }) => callSid).sort(), [
        'new2',
        'new3',
        'new4',
        'new5',
        'new6'
      ])
    }
  )

  t.test('a foreign value under the key of a call affects only this call', { buffered: true }, async (t) => {
    const server = await startRedis(t)
    const client = clientOf(t, server)
    const { store, said } = await instanceOf(t, client)
    await client.set('jambonz:call:{bad}', 'what?')
    t.match(await store.update('bad', { call: { from: 'Ann' } }), { call: { from: 'Ann' } })
    t.match(await store.get('bad'), { from: 'Ann' })
    t.match([await store.update('good', {}), store.health?.().available], [{ created: true }, true])
    t.match(said('refused')[0], { callSid: 'bad', err: { message: /WRONGTYPE/ } })
    await until(() => store.health?.().pending === 0, 'the store to give up writing the call')
  })

  t.test(
    'each listen of an instance killed -9 is soon declared lost, once, and waits for the listen resolve',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const a = await instanceOf(t, clientOf(t, server), { name: 'a', timeout: 10_000, heartbeat: 500 })
      const b = await instanceOf(t, clientOf(t, server), { name: 'b', timeout: 10_000, heartbeat: 500 })
      const listens = Array.from({ length: 20 }, (_, i) => [`c${i % 5}`, `l${i}`] as const)
      const child = spawn(
        process.execPath,
        [STORE_CHILD, server.url, 'jambonz:', 'dead', '100', ...listens.flat()],
        { stdio: ['ignore', 'pipe', 'inherit'] }
      )
      t.teardown(() => child.kill('SIGKILL'))
      await once(child.stdout, 'data')
      await a.store.claim('c0', 'own')
      await a.store.update('c0', {
        listens: [
          { id: 'own', state: 'streaming' },
          { id: 'l0', state: 'ended', endReason: 'closed' }
        ]
      })

      const lateness = new Lateness(folder())
      t.teardown(() => lateness.close())
      child.kill('SIGKILL')
      const { value, ms } = await timed(b.store.waitFor('c1', 'l1', isOver, 60_000))
      t.match(listenOf(value, 'l1'), { state: 'ended', endReason: 'lost', endedAt: String, instance: 'dead' })
      const busyMs = STEPS_OF_DEATH * lateness.worst
      t.ok(
        ms < 300 + 100 + SOON + busyMs,
        `${ms} ms, with a heartbeat of 100 ms, on a machine busy for ${busyMs} ms`
      )
      const expected = listens
        .slice(1)
        .map(([callSid, id]) => `${callSid} ${id}`)
        .sort()
      await until(() => a.lost.length + b.lost.length >= expected.length, 'all listens to be declared lost')
      t.strictSame(
        [...a.lost, ...b.lost].sort(),
        expected,
        'each listen is declared lost once, by one of the other instances'
      )
      await until(() => a.died.size > 0 && b.died.size > 0, 'both instances to know of the death')
      t.strictSame([...a.died, ...b.died], ['dead', 'dead'])
      t.match(
        listenOf(await a.store.get('c0'), 'l0'),
        { endReason: 'closed' },
        'a listen that had ended is unchanged'
      )
      t.match(
        listenOf(await b.store.get('c0'), 'own'),
        { state: 'streaming' },
        'a listen of a live instance is unchanged'
      )
    }
  )

  t.test(
    'an instance that dies while Redis is unreachable is declared dead later',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const a = await instanceOf(t, clientOf(t, server), { name: 'a' })
      const child = spawn(
        process.execPath,
        [STORE_CHILD, server.url, 'jambonz:', 'dead', '100', 'c1', 'l1'],
        {
          stdio: ['ignore', 'pipe', 'inherit']
        }
      )
      t.teardown(() => child.kill('SIGKILL'))
      await once(child.stdout, 'data')
      t.match(await a.store.update('c1', {}), {
        call: { listens: [{ instance: 'dead', state: 'streaming' }] }
      })
      await server.kill()
      child.kill('SIGKILL')
      await until(async () => {
        await a.store.update('c1', {})
        return a.store.health?.().available === false
      }, 'the store to be unreachable')
      await server.start()
      await until(
        async () => listenOf(await a.store.get('c1'), 'l1')?.endReason === 'lost',
        'the end of the listen'
      )
      await until(() => a.lost.length > 0, 'the listen to be reported as lost')
      t.strictSame(a.lost, ['c1 l1'])
    }
  )

  t.test(
    'an instance that was declared dead by mistake corrects the end of its listens',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const client = clientOf(t, server)
      const a = await instanceOf(t, client, { name: 'a', heartbeat: 60_000 })
      await a.store.claim('c1', 'l1')
      await a.store.update('c1', { listens: [{ id: 'l1', state: 'streaming' }] })
      const b = await instanceOf(t, clientOf(t, server), { name: 'b' })
      await client.zadd('jambonz:instances', String(Date.now() - 1_000), 'a')
      await until(() => b.lost.length > 0, 'the listen to be lost')
      t.match(listenOf(await a.store.get('c1'), 'l1'), { state: 'ended', endReason: 'lost' })
      await a.store.update('c1', {
        listens: [
          {
            id: 'l1',
            state: 'ended',
            endReason: 'closed',
            audio: { frames: 1, bytes: 320, durationMs: 20, gapMs: 0, maxGapMs: 0 }
          }
        ]
      })
      t.match(listenOf(await b.store.get('c1'), 'l1'), {
        state: 'ended',
        endReason: 'closed',
        audio: { bytes: 320 }
      })
    }
  )

  t.test(
    'even if an instance reconnects often, a dead instance is detected',
    { buffered: true },
    async (t) => {
      const client = clientOf(t, await startRedis(t))
      const [a, b, dead] = ['a', 'b', 'dead'].map(
        (name) => new Instances(new Keys('jambonz:'), new Clock(), name, 100)
      ) as [Instances, Instances, Instances]
      await dead.beat(client, false)
      // Redis decides who is dead, by its own clock.
      const now = async (): Promise<number> => {
        const [seconds, micros] = await client.time()
        return Number(seconds) * 1_000 + Number(micros) / 1_000
      }
      const since = await now()
      const found = await until(async () => {
        await a.beat(client, true)
        return (await b.beat(client, false)).dead.length > 0 && (await now()) - since
      }, 'the dead')
      t.ok(Number(found) > 300, `${found} ms`)
      const [, { dead: missed }] = await Promise.all([a.beat(client, true), b.beat(client, false)])
      t.strictSame(missed, ['dead'])
    }
  )

  t.test('a claim without a socket expires together with its listen', { buffered: true }, async (t) => {
    const server = await startRedis(t)
    const a = await instanceOf(t, clientOf(t, server), { ...CALM, name: 'a', callTtl: 2_000 })
    const b = await instanceOf(t, clientOf(t, server), { ...CALM, name: 'b', callTtl: 2_000 })
    const { call } = await a.store.claim('c1', 'l1')
    await b.store.conclude(listenOf(call, 'l1')!, { endReason: 'notConnected' })
    await until(async () => (await b.store.get('c1')) === undefined, 'the end of the call')
    const client = clientOf(t, server)
    await until(
      async () => (await client.keys('jambonz:held:*')).length === 0,
      'the sets of held listens to be empty'
    )
  })

  t.test(
    'if Redis evicts a call that streams, the call is written again, and no end event is emitted',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const client = clientOf(t, server)
      const a = await instanceOf(t, client, { ...CALM, name: 'a', callTtl: 30_000 })
      const b = await instanceOf(t, clientOf(t, server), { ...CALM, name: 'b', callTtl: 30_000 })
      await a.store.update('c1', { call: { from: 'x' }, listens: [{ id: 'l1', path: '/audio' }] })
      await a.store.claim('c1', 'l1')
      await a.store.update('c1', { listens: [{ id: 'l1', state: 'streaming', connected: true }] })
      for (const tell of [() => {}, () => client.publish('jambonz:events', '{"wake":["c1","l1"]}')]) {
        await client.del('jambonz:call:{c1}')
        await tell()
        const call = await until(async () => await b.store.get('c1'), 'the call')
        t.match(call, { from: 'x', listens: [{ id: 'l1', state: 'streaming', instance: 'a' }] })
        t.strictSame(await client.smembers('jambonz:held:a'), [JSON.stringify(['c1', 'l1'])])
        t.ok((await client.pttl('jambonz:call:{c1}')) > 0)
      }
    }
  )

  t.test(
    'a listen that another instance ends is removed from the set of held listens',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const a = await instanceOf(t, clientOf(t, server), { ...CALM, name: 'a' })
      const b = await instanceOf(t, clientOf(t, server), { ...CALM, name: 'b' })
      const { call } = await a.store.claim('c1', 'l1')
      await a.store.claim('c1', 'l2')
      await b.store.conclude(listenOf(call, 'l1')!, { endReason: 'notConnected' })
      const client = clientOf(t, server)
      await until(async () => (await client.scard('jambonz:held:a')) === 1, 'the first listen to be removed')
      t.strictSame(await client.smembers('jambonz:held:a'), [JSON.stringify(['c1', 'l2'])])
    }
  )

  t.test(
    'listens that an instance still has when it closes are declared lost',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const a = await instanceOf(t, clientOf(t, server), { name: 'a' })
      const b = await instanceOf(t, clientOf(t, server), { name: 'b' })
      await a.store.claim('c1', 'l1')
      await a.store.close()
      t.match(listenOf(await b.store.waitFor('c1', 'l1', isOver, 5_000), 'l1'), { endReason: 'lost' })
    }
  )

  t.test(
    'after a failover behind one address, the store leaves the old master that still answers',
    { buffered: true },
    async (t) => {
      const old = await startRedis(t)
      const next = await startRedis(t)
      const address = await movableAddress(t, old.port)
      const client = new Redis(address.port, { lazyConnect: true })
      t.teardown(() => client.disconnect())
      const { store } = await instanceOf(t, client, CALM)
      await store.update('c1', { call: { from: '1' } })
      await clientOf(t, old).replicaof('127.0.0.1', next.port)
      await store.update('c2', { call: { from: '2' } })
      t.equal(store.health?.().available, false)
      address.target = next.port
      await until(() => store.health?.().available, 'the store to be back')
      const b = await instanceOf(t, clientOf(t, next), { ...CALM, name: 'b' })
      t.match(await b.store.get('c2'), { from: '2' })
      await store.claim('c2', 'l1')
      const waiting = b.store.waitFor('c2', 'l1', isOver, 5_000)
      await store.update('c2', { listens: [{ id: 'l1', state: 'ended', endReason: 'closed' }] })
      t.match(listenOf(await waiting, 'l1'), { endReason: 'closed' })
    }
  )

  t.test('an instance that receives no messages polls the store', { buffered: true }, async (t) => {
    const server = await startRedis(t)
    const client = clientOf(t, server)
    const a = await instanceOf(t, client, { name: 'a' })
    const b = await instanceOf(t, clientOf(t, server), { name: 'b' })
    await a.store.claim('c1', 'l1')
    const waiting = timed(b.store.waitFor('c1', 'l1', isOver, 10_000))
    await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await a.store.update('c1', { listens: [{ id: 'l1', state: 'ended' }] })
    const { value, ms } = await waiting
    t.match(listenOf(value, 'l1'), { state: 'ended' })
    t.ok(ms < 1_000 + SOON, `${ms} ms`)
  })

  t.test('an instance that closes normally is not declared dead', { buffered: true }, async (t) => {
    const server = await startRedis(t)
    const client = clientOf(t, server)
    const a = await instanceOf(t, client, { ...CALM, name: 'a' })
    await instanceOf(t, client, { ...CALM, name: 'b' })
    await a.store.close()
    t.strictSame(await client.zrange('jambonz:instances', 0, '-1'), ['b'])
  })

  t.test('when an instance closes, another instance watches its listens', { buffered: true }, async (t) => {
    const server = await startRedis(t)
    const [a, b] = [await reporting(t, server, 'a'), await reporting(t, server, 'b')]
    for (const id of ['watched', 'let go', 'claimed']) {
      await a.store.write(id, [{ patch: { listens: [{ id, path: '/audio' }] } }])
      t.match((await a.store.write(id, [watchPart(id, 'a', true)])).applied, [true])
    }
    t.match((await a.store.write('let go', [watchPart('let go', 'a', false)])).applied, [true])
    // Instance "a" also claims this listen itself, so it keeps the listen after it has stopped watching.
    t.match((await a.store.write('claimed', [claimPart('claimed', 'a', false)])).applied, [true])
    t.match((await a.store.write('claimed', [watchPart('claimed', 'a', false)])).applied, [false])
    await a.store.close()
    await until(() => b.lost.length >= 2, 'b to report both listens')
    t.same(b.lost.map(({ listenId }) => listenId).sort(), ['claimed', 'watched'])
  })

  t.test(
    'a listen that an instance watched is reported, too, if Redis comes back empty after its death',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const [a, b] = [await reporting(t, server, 'a'), await reporting(t, server, 'b')]
      await a.store.write('c1', [{ patch: { listens: [{ id: 'l1', path: '/audio' }] } }])
      await a.store.write('c1', [watchPart('l1', 'a', true)])
      t.match((await b.store.write('c1', [{ patch: { call: { from: 'x' } } }])).call, {
        listens: [{ watcher: 'a' }]
      })
      await server.kill()
      await a.store.close()
      await until(() => b.store.health?.().available === false, 'b to know that Redis is away')
      await server.start()
      await until(() => b.lost.length > 0, 'b to report the listen')
      t.match(b.lost, [{ callSid: 'c1', listenId: 'l1', instance: 'a' }])
    }
  )

  t.test(
    'a call needs a fixed number of commands, and all of its keys expire',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const client = clientOf(t, server)
      const callTtl = 60_000
      const a = await instanceOf(t, client, { ...CALM, name: 'a', callTtl })
      const b = await instanceOf(t, client, { ...CALM, name: 'b', callTtl })
      const sent = await watchCommands(t, server)
      for (const callSid of ['warm', 'one', 'two']) {
        await a.store.update(callSid, { call: { from: 'x' }, listens: [{ id: 'l1', path: '/audio' }] })
        await b.store.claim(callSid, 'l1')
        await b.store.update(callSid, { listens: [{ id: 'l1', state: 'streaming' }] })
        await b.store.update(callSid, { listens: [{ id: 'l1', state: 'ended' }] })
        await a.store.waitFor(callSid, 'l1', isOver, 1_000)
        await a.store.end(callSid, {})
        await until(
          () => sent.some(([name, , member]) => name === 'srem' && member?.includes(callSid)),
          'the last command'
        )
      }
      // Sorted, because the last commands of the two instances arrive in either order.
      const of = (callSid: string): string[] =>
        sent
          .filter((args) => args.some((arg) => arg.includes(callSid)))
          .map(([name = '']) => name)
          .sort()
      t.strictSame(of('one'), [
        'evalsha',
        'evalsha',
        'evalsha',
        'evalsha',
        'evalsha',
        'hgetall',
        'sadd',
        'srem',
        'zadd'
      ])
      t.strictSame(of('two'), of('one'))
      t.strictSame((await client.keys('*')).sort(), [
        ...['one', 'two', 'warm'].map((callSid) => `jambonz:call:{${callSid}}`),
        'jambonz:calls',
        'jambonz:instances'
      ])
      for (const key of await client.keys('jambonz:call:*')) {
        const left = await client.pttl(key)
        t.ok(left > 0 && left <= callTtl, `${key} expires in ${left} ms`)
      }
    }
  )

  t.test('a call that expires leaves no key in Redis', { buffered: true }, async (t) => {
    const server = await startRedis(t)
    const client = clientOf(t, server)
    const { store } = await instanceOf(t, client, { ...CALM, heartbeat: 500, callTtl: 2_000 })
    await store.update('c1', { call: { from: 'x' }, listens: [{ id: 'l1', path: '/audio' }] })
    await store.claim('c1', 'l1')
    await store.update('c1', { listens: [{ id: 'l1', state: 'ended' }] })
    await store.end('c1', {})
    t.match(await client.keys('jambonz:call:*'), ['jambonz:call:{c1}'])
    const keysOfCall = async (): Promise<string[]> =>
      (await client.keys('*')).filter((key) => !['jambonz:calls', 'jambonz:instances'].includes(key))
    await until(async () => (await keysOfCall()).length === 0, 'the call and its sets to expire')
    t.strictSame(await keysOfCall(), [])
  })

  t.test(
    'the index of calls loses expired calls as fast as they come, and expires without instances',
    { buffered: true },
    async (t) => {
      const server = await startRedis(t)
      const client = clientOf(t, server)
      const index = 'jambonz:calls'
      const expired = Array.from({ length: 20_001 }, (_, at) => [String(at), `old-${at}`])
      await client.zadd(index, ...expired.flat())
      const { store } = await instanceOf(t, client, { callTtl: 60_000 })
      await store.update('c1', { call: { from: 'x' } })
      await until(async () => (await client.zcard(index)) === 1, 'the index to be pruned')
      t.strictSame(await client.zrange(index, 0, '-1'), ['c1'])
      await until(async () => (await client.pttl(index)) > 0, 'the index to expire')
      t.ok((await client.pttl(index)) > (await client.pttl('jambonz:call:{c1}')), 'later than its calls')
    }
  )

  t.test('the store works with Redis Cluster', { buffered: true }, async (t) => {
    const server = await startRedis(t, '--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1')
    const admin = clientOf(t, server)
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await until(
      async () => String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
      'the cluster'
    )
    const cluster = new Cluster([{ host: '127.0.0.1', port: server.port }])
    cluster.on('error', () => {})
    t.teardown(() => cluster.disconnect())
    const a = await instanceOf(t, cluster, { name: 'a' })
    const b = await instanceOf(t, cluster, { name: 'b' })
    await a.store.update('c1', { call: { from: 'Ann' } })
    t.match(await b.store.claim('c1', 'l1'), { claimed: true })
    const waiting = a.store.waitFor('c1', 'l1', isOver, 5_000)
    const { ms } = await timed(
      Promise.all([waiting, b.store.update('c1', { listens: [{ id: 'l1', state: 'ended' }] })])
    )
    t.ok(ms < 900, `a message reports the end, without polling: ${ms} ms`)
    t.match([await a.store.list(), await b.store.end('c1', {})], [[{ callSid: 'c1' }], { first: true }])
    await server.kill()
    t.match(await a.store.update('c1', { data: { away: true } }), {
      call: { from: 'Ann', data: { away: true } }
    })
    await server.start()
    await until(() => a.store.health?.().available, 'the cluster', 10_000)
    t.match(await a.store.get('c1'), { from: 'Ann', data: { away: true } })
  })
})

/** Waits for 5 ms, because at least this time passes between requests of one call to different instances. */
async function networkTrip(): Promise<void> {
  const end = performance.now() + 5
  await until(() => performance.now() > end, 'the answer')
}
