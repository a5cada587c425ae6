import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { memoryStore } from '../../lib/index.js'
import { newCall } from '../../lib/model/callWrite.js'
import { newestFirst } from '../../lib/store/CallStore.js'
import { redisStore } from '../../lib/store/redis.js'
import { keepingLogger } from '../helpers/log.js'
import { noRedis, startRedis, type RedisServer } from '../helpers/redis.js'
import { withVerbs } from '../helpers/storeVerbs.js'
import { TextStore } from './TextStore.js'
import { storeContract, type OpenOptions } from './contract.js'

const { logger } = keepingLogger()

t.test('calls of the same millisecond keep their places in a list, whichever was written last', async (t) => {
  const calls = ['c', 'a', 'd', 'b'].map((callSid) => newCall(callSid, '2026-01-01T00:00:00.000Z'))
  calls.push(newCall('newest', '2026-01-01T00:00:00.001Z'))
  const sids = (sorted: typeof calls) => sorted.map(({ callSid }) => callSid)
  const expected = ['newest', 'd', 'c', 'b', 'a']
  t.strictSame(sids(calls.toSorted(newestFirst)), expected)
  t.strictSame(sids(calls.toReversed().sort(newestFirst)), expected)
})

t.test('the memory store fulfils the contract of CallStore', async (t) => {
  storeContract(t, async (t, { callTtl = 60_000 }: OpenOptions = {}) => {
    const store = memoryStore()
    await store.start({ callTtl, instance: 'a', logger })
    t.teardown(() => store.close())
    const verbs = withVerbs(store, 'a')
    return [verbs, verbs]
  })
})

t.test(
  'a custom store, written as docs/stores.md describes, fulfils the contract of CallStore',
  async (t) => {
    storeContract(t, async (t, { callTtl = 60_000 }: OpenOptions = {}) => {
      const store = new TextStore()
      await store.start({ callTtl, instance: 'a', logger })
      t.teardown(() => store.close())
      const verbs = withVerbs(store, 'a')
      return [verbs, verbs]
    })
  }
)

t.test('the Redis store fulfils the contract of CallStore', { skip: noRedis() }, async (t) => {
  const server = await startRedis(t)
  let prefixes = 0
  storeContract(t, async (t, { callTtl = 60_000 }: OpenOptions = {}) => {
    const prefix = `test${++prefixes}:`
    const open = (instance: string) => openRedisStore(t, server, { instance, prefix, callTtl })
    return [await open('a'), await open('b')]
  })
})

async function openRedisStore(
  t: Test,
  { url }: RedisServer,
  { instance, prefix, callTtl }: { instance: string; prefix: string; callTtl: number }
) {
  const client = new Redis(url, { lazyConnect: true })
  // With a short timeout, a busy machine would make the store take Redis for unavailable.
  const store = redisStore(client, { prefix, timeout: 10_000, heartbeat: 100 })
  t.teardown(async () => {
    await store.close()
    client.disconnect()
  })
  await store.start({ callTtl, instance, logger })
  return withVerbs(store, instance)
}
