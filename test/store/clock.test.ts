import { shiftDate } from '../helpers/shiftedDate.js'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { memoryStore, type CallStore } from '../../lib/index.js'
import { redisStore } from '../../lib/store/redis.js'
import { keepingLogger } from '../helpers/log.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const CALL_TTL = 60_000
const HOUR = 3_600_000

async function start(t: Test, store: CallStore): Promise<CallStore> {
  t.teardown(() => store.close())
  await store.start({ callTtl: CALL_TTL, instance: 'a', logger: keepingLogger().logger })
  await store.write('c1', [{ patch: { call: { from: 'Ann' } } }])
  return store
}

/** Moves the clock by `ms`. At the end of the test, it moves the clock back. */
function jump(t: Test, ms: number): void {
  shiftDate(ms)
  t.teardown(() => shiftDate(-ms))
}

for (const ms of [2 * HOUR, -2 * HOUR]) {
  t.test(`if the clock jumps by ${ms} ms, no call in memory expires`, async (t) => {
    const store = await start(t, memoryStore())
    jump(t, ms)
    await store.write('c2', [{ patch: { call: { from: 'Bob' } } }])
    t.match(await store.list(), [{ callSid: String }, { callSid: String }])
    t.match(await store.get('c1'), { from: 'Ann' })
  })

  t.test(
    `if the clock jumps by ${ms} ms, the copy of a call that Redis has lost does not expire`,
    { skip: noRedis() },
    async (t) => {
      const server = await startRedis(t)
      const client = new Redis(server.url, { lazyConnect: true })
      t.teardown(() => client.disconnect())
      const store = await start(t, redisStore(client, { heartbeat: 100 }))
      await server.kill()
      jump(t, ms)
      await until(() => !store.health().available, 'the outage')
      await server.start()
      await until(() => store.health().available, 'the return')
      t.match(await store.get('c1'), { from: 'Ann' })
      t.match(await store.list(), [{ callSid: 'c1' }])
    }
  )
}
