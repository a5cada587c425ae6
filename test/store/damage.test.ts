import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { memoryStore, type Call, type Listen } from '../../lib/index.js'
import type { StoredCall, StoredListen } from '../../lib/model/schema.js'
import { redisStore, type RedisStoreOptions } from '../../lib/store/redis.js'
import { cpuMs } from '../helpers/cpu.js'
import { keepingLogger } from '../helpers/log.js'
import { freePort, noRedis, startRedis, type RedisServer } from '../helpers/redis.js'
import { withVerbs } from '../helpers/storeVerbs.js'
import { until } from '../helpers/until.js'

interface OpenOptions extends RedisStoreOptions {
  instance?: string
  client?: Redis
}

async function open(t: Test, { url }: RedisServer, { instance = 'a', client, ...options }: OpenOptions = {}) {
  const { logger, said } = keepingLogger()
  const own = client ?? new Redis(url, { lazyConnect: true })
  const told: unknown[] = []
  const store = withVerbs(redisStore(own, { heartbeat: 100, ...options }), instance)
  t.teardown(async () => {
    await store.close()
    own.disconnect()
  })
  await store.start({ callTtl: 60_000, instance, logger, told: (message) => told.push(message) })
  return { store, said, told }
}

function isOver(listen: Listen | undefined): boolean {
  return listen?.state === 'ended'
}

t.test('data of other programs in Redis does no harm', { skip: noRedis() }, async (t) => {
  const server = await startRedis(t)
  const client = new Redis(server.url)
  t.teardown(() => client.disconnect())

  t.test('messages of other programs on the channel are ignored and logged', async (t) => {
    const a = await open(t, server, { instance: 'a' })
    const b = await open(t, server, { instance: 'b' })
    await a.store.claim('c1', 'l1')
    for (const message of [
      'not json',
      'null',
      '1',
      '[]',
      '{}',
      '{"wake":1}',
      '{"wake":[1,2]}',
      '{"from":"x"}'
    ]) {
      await client.publish('jambonz:events', message)
    }
    const waiting = b.store.waitFor('c1', 'l1', isOver, 60_000)
    await a.store.update('c1', { listens: [{ id: 'l1', state: 'ended' }] })
    t.match(await waiting, { listens: [{ state: 'ended' }] })
    await until(() => b.said('foreign message').length > 0, 'the log')
    t.match(
      b.said('foreign message'),
      [{ message: 'not json' }],
      'one line for any number of foreign messages'
    )
  })

  t.test('a damaged field is left out, and other calls are unchanged', async (t) => {
    const { store, said } = await open(t, server)
    await store.update('good', { call: { from: 'Ann' } })
    await store.update('bad', {
      call: { from: 'Bob', to: 'Eve' },
      listens: [{ id: 'l1', path: '/audio', sampleRate: 16_000 }]
    })
    const damage: Record<string, string> = {
      'c:from': '17 {"not json',
      'c:to': '17 {"an":"object"}',
      'c:createdAt': 'x',
      'd:own': 'nothing at all',
      'l:l1:state': '17 "flying"',
      'l:l1:audio': '17 5',
      'l:l1:#': '17 "where"',
      'l:': '17 1',
      '': '17 1',
      'z': '17 1',
      // These fields must not override the callSid in the call's key, and the ids of its listens.
      'c:callSid': '17 "good"',
      'c:listens': '17 [1]',
      'l:l1:callSid': '17 "good"',
      'l:l1:id': '17 "l2"',
      'l:l1:__proto__': '17 {"state":"ended"}'
    }
    await client.hset('jambonz:call:{bad}', damage)
    const fresh = await open(t, server, { instance: 'b' })
    const bad = await fresh.store.get('bad')
    t.match(bad, {
      callSid: 'bad',
      from: undefined,
      to: undefined,
      createdAt: String,
      listens: [
        {
          id: 'l1',
          callSid: 'bad',
          path: '/audio',
          sampleRate: 16_000,
          state: 'expected',
          audio: { bytes: 0 }
        }
      ]
    })
    const listed = (await fresh.store.list()).map(({ callSid }) => callSid)
    t.ok(listed.includes('bad') && listed.includes('good'), String(listed))
    t.match(fresh.said('is damaged')[0], { callSid: 'bad', field: String })
    const lines = fresh.said('is damaged').length
    await fresh.store.get('bad')
    t.equal(fresh.said('is damaged').length, lines, 'each once')
    t.match(
      await store.update('bad', { call: { from: 'Bob' } }),
      { call: { from: 'Bob' } },
      'a write repairs the field'
    )
    t.same(said('refused a command'), [])
  })

  t.test('a value of the wrong type is left out, in every field of a call or a listen', async (t) => {
    type Names<Stored, Own extends keyof Stored> = Record<Exclude<keyof Stored, Own>, true>
    // These fields are left out: callSid is part of the key, tests above cover data and listens, and
    // customerData may have any value.
    const ofCall: Names<StoredCall, 'callSid' | 'data' | 'listens' | 'customerData'> = {
      parentCallSid: true,
      accountSid: true,
      applicationSid: true,
      direction: true,
      from: true,
      to: true,
      callStatus: true,
      envVars: true,
      createdAt: true,
      updatedAt: true,
      endedAt: true,
      transport: true,
      acknowledgedAt: true,
      holder: true,
      commanded: true,
      application: true
    }
    const ofListen: Names<StoredListen, 'id' | 'callSid'> = {
      legCallSid: true,
      verbId: true,
      path: true,
      nested: true,
      leg: true,
      state: true,
      connected: true,
      mixType: true,
      sampleRate: true,
      channels: true,
      metadata: true,
      finishOnKey: true,
      timeout: true,
      maxLength: true,
      passDtmf: true,
      bidirectional: true,
      createdAt: true,
      startedAt: true,
      endedAt: true,
      endReason: true,
      audio: true,
      paused: true,
      recording: true,
      recordingError: true,
      digits: true,
      output: true,
      reportedDuration: true,
      instance: true,
      segments: true,
      trace: true,
      saved: true,
      offers: true,
      refused: true,
      hookedAt: true,
      foreignHook: true,
      background: true,
      keyed: true,
      watcher: true
    }
    const { store } = await open(t, server)
    await store.update('wrong', { call: { from: 'Bob' }, listens: [{ id: 'l1', path: '/audio' }] })
    const fields = [
      ...Object.keys(ofCall).map((name) => `c:${name}`),
      ...Object.keys(ofListen).map((name) => `l:l1:${name}`)
    ]
    const damage = Object.fromEntries(fields.map((field) => [field, '17 ["wrong"]']))
    await client.hset('jambonz:call:{wrong}', damage)
    const fresh = await open(t, server, { instance: 'b' })
    const call = await fresh.store.get('wrong')
    t.notMatch(JSON.stringify(call), /wrong"\]/)
    t.same(
      fresh
        .said('is damaged')
        .map(({ field }) => field)
        .sort(),
      [...fields].sort(),
      'each is reported'
    )
  })

  t.test('a key of another type does not prevent list() from listing the other calls', async (t) => {
    const { store, said } = await open(t, server)
    await client.set('jambonz:call:{spoilt}', 'what?')
    await client.zadd('jambonz:calls', Date.now() + 60_000, 'spoilt')
    t.ok((await store.list()).some(({ callSid }) => callSid === 'good'))
    t.match(said('could not be read'), [{ callSid: 'spoilt' }])
  })

  t.test(
    "if one name among a dead instance's listens is damaged, its other listens are still declared lost",
    async (t) => {
      const lost: string[] = []
      const own = new Redis(server.url, { lazyConnect: true })
      const { logger } = keepingLogger()
      const store = redisStore(own, { heartbeat: 100 })
      t.teardown(async () => {
        await store.close()
        own.disconnect()
      })
      await client.sadd('jambonz:held:dead', 'not json', '[1,2]', '["c1","l9"]')
      await client.zadd('jambonz:instances', String(Date.now() - 1_000), 'dead')
      await store.start({
        callTtl: 60_000,
        instance: 'living',
        logger,
        lost: async ({ listenId }) => {
          lost.push(listenId)
        }
      })
      await until(() => lost.length > 0, 'the listen')
      await until(async () => (await client.scard('jambonz:held:dead')) === 0, 'the names to be removed')
      t.match(new Set(lost), new Set(['l9']))
    }
  )
})

t.test("an instance's messages reach the other instances but not itself", { skip: noRedis() }, async (t) => {
  const server = await startRedis(t)
  const [a, b, other] = [
    await open(t, server, { instance: 'a' }),
    await open(t, server, { instance: 'b' }),
    await open(t, server, {
      instance: 'c',
      client: new Redis(server.url, { keyPrefix: 'app2:', lazyConnect: true })
    })
  ]
  a.store.tell({ hello: 'ü' })
  await until(() => b.told.length > 0, 'the message')
  t.same(
    [a.told, b.told, other.told],
    [[], [{ hello: 'ü' }], []],
    'messages of an application with another keyPrefix do not arrive'
  )
})

t.test('a Redis user needs the permissions that docs/stores.md lists', { skip: noRedis() }, async (t) => {
  const server = await startRedis(t)
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  const commands =
    '+info +eval +evalsha +hgetall +pexpire +pttl +sadd +srem +smembers +zadd +zrem +zrevrange +zrangebyscore +publish +subscribe +time +exists +hget +hmget +hset +zscore +zrange +zremrangebyscore'
  const as = (user: string) => new Redis(server.url, { username: user, password: 'pw', lazyConnect: true })
  await admin.call('ACL', 'SETUSER', 'whole', 'on', '>pw', '~jambonz:*', '&jambonz:*', ...commands.split(' '))
  await admin.call(
    'ACL',
    'SETUSER',
    'deaf',
    'on',
    '>pw',
    '~jambonz:*',
    'resetchannels',
    ...commands.split(' ')
  )

  t.test('the permissions that docs/stores.md lists are enough', async (t) => {
    const { store, said } = await open(t, server, { instance: 'a', client: as('whole') })
    await store.update('c1', { call: { from: 'Ann' }, listens: [{ id: 'l1' }] })
    await store.claim('c1', 'l1')
    t.match(await store.list(), [{ callSid: 'c1' }])
    t.same(store.health(), { available: true, pending: 0, dropped: 0 })
    t.same([...said('refused'), ...said('away')], [])
  })

  t.test('health() and the log report a refused SUBSCRIBE', async (t) => {
    const { store, said } = await open(t, server, { instance: 'b', client: as('deaf') })
    await until(() => !store.health().available, 'health()')
    t.match(store.health(), { available: false, problem: /SUBSCRIBE jambonz:events.*NOPERM/ })
    t.match(said('refused the subscription'), [{ channel: 'jambonz:events' }])
  })
})

t.test('health() reports that Redis is unreachable, with the reason', async (t) => {
  const { logger } = keepingLogger()
  const client = new Redis(await freePort(), { lazyConnect: true })
  const store = redisStore(client, { timeout: 100 })
  t.teardown(async () => {
    await store.close()
    client.disconnect()
  })
  await store.start({ callTtl: 60_000, instance: 'a', logger })
  t.match(store.health(), { available: false, problem: /^Redis is away/ })
})

t.test('a flood of new calls evicts no call that expects a socket or has a socket', async (t) => {
  const store = withVerbs(memoryStore({ maxCalls: 500 }), 'a')
  const { logger, said } = keepingLogger()
  await store.start({ callTtl: 60_000, instance: 'a', logger })
  t.teardown(() => store.close())
  for (let i = 0; i < 100; i++) {
    await store.update(`expects${i}`, { listens: [{ id: 'l1', path: '/audio' }] })
    await store.update(`streams${i}`, { listens: [{ id: 'l1', state: 'streaming' }] })
  }
  for (let i = 0; i < 5_000; i++) await store.update(`flood${i}`, { call: { from: 'x' } })
  const calls = await store.list()
  const named = (name: string): number => calls.filter(({ callSid }: Call) => callSid.startsWith(name)).length
  t.same([named('expects'), named('streams')], [100, 100])
  t.ok(calls.length <= 500)
  t.equal(said('the memory store is full').length, 0, 'calls without sockets may be dropped')
  for (let i = 0; i < 600; i++) await store.update(`more${i}`, { listens: [{ id: 'l1' }] })
  t.equal(
    (await store.list()).filter(({ callSid }) => callSid.startsWith('streams')).length,
    100,
    'calls that stream are evicted last'
  )
  t.match(said('the memory store is full'), [{ level: 40, maxCalls: 500 }])
  t.equal(said('the memory store is full').length, 1, 'the warning is logged once a minute')
})

t.test('a full memory store drops the call with the oldest last event for each new call', async (t) => {
  const store = withVerbs(memoryStore({ maxCalls: 3 }), 'a')
  await store.start({ callTtl: 60_000, instance: 'a', logger: keepingLogger().logger })
  t.teardown(() => store.close())
  const kept = async (): Promise<string> =>
    (await store.list())
      .map(({ callSid }) => callSid)
      .sort()
      .join('')
  for (const callSid of ['a', 'b', 'c', 'a', 'd']) await store.update(callSid, { call: { from: 'x' } })
  t.equal(await kept(), 'acd')
  await store.update('c', { listens: [{ id: 'l1', path: '/audio' }] })
  await store.update('e', { call: { from: 'x' } })
  await store.update('f', { call: { from: 'x' } })
  t.equal(await kept(), 'cef', 'a call that expects a socket stays')
  await store.update('c', { listens: [{ id: 'l1', state: 'ended' }] })
  for (const callSid of ['g', 'h', 'i']) await store.update(callSid, { call: { from: 'x' } })
  t.equal(await kept(), 'ghi')
})

t.test(
  'in a flood of calls that all expect a socket, late calls take little more time than early calls',
  async (t) => {
    const { logger } = keepingLogger()
    const maxCalls = 5_000
    const store = withVerbs(memoryStore({ maxCalls }), 'a')
    await store.start({ callTtl: 60_000, instance: 'a', logger })
    t.teardown(() => store.close())
    const fill = async (name: string): Promise<number> => {
      const began = cpuMs()
      for (let i = 0; i < maxCalls; i++) {
        await store.update(`${name}${i}`, { listens: [{ id: 'l1', path: '/audio' }] })
      }
      return cpuMs() - began
    }
    // Fill a store once, so that the measured time does not include compiling the code.
    await fill('warm')
    await store.close()
    const roomy = withVerbs(memoryStore({ maxCalls: 10 * maxCalls }), 'a')
    await roomy.start({ callTtl: 60_000, instance: 'a', logger })
    t.teardown(() => roomy.close())
    const began = cpuMs()
    for (let i = 0; i < maxCalls; i++) {
      await roomy.update(`c${i}`, { listens: [{ id: 'l1', path: '/audio' }] })
    }
    const unbounded = cpuMs() - began
    const bounded = await fill('flood')
    t.ok(
      bounded < 10 * unbounded,
      `${Math.round(bounded)} ms of CPU with calls to evict, ${Math.round(unbounded)} ms without`
    )
  }
)

t.test('an invalid option of a store is refused with an error that names the option', async (t) => {
  const client = new Redis({ lazyConnect: true })
  for (const name of ['timeout', 'heartbeat', 'maxLocalCalls'] as const) {
    for (const wrong of [0, -1, 1e-9, NaN, Infinity, 2 ** 31, '500', true, null]) {
      const options = { [name]: wrong } as RedisStoreOptions
      t.throws(() => redisStore(client, options), {
        code: 'FST_JAMBONZ_REDIS_STORE',
        message: `${name} must be`
      })
    }
  }
  t.throws(() => redisStore(client, { heartbeat: 1 }), { message: /heartbeat must be a number from 100 to/ })
  for (const wrong of [0, -1, NaN, '500', null, true]) {
    t.throws(() => memoryStore({ maxCalls: wrong as number }), { code: 'FST_JAMBONZ_OPTIONS' }, String(wrong))
  }
})
