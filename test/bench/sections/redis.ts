import { Redis } from 'ioredis'
import { DelayProxy } from '../harness/DelayProxy.js'
import { number, table } from '../harness/table.js'
import type { Context, Section } from './types.js'
import { RECORD, withRedis } from './variants.js'

/** ms of a round trip to Redis */
const NETWORK = 1
const COUNTED_CALLS = 30
/** webhooks per second */
const RATE = 100

/** Measures Redis commands per call, and round trips per webhook. */
export const redis: Section = {
  title: 'Redis',
  async run(context) {
    const { redisPort } = context
    if (redisPort === undefined) return 'redis-server is not installed'
    return `${await countCommands(context, redisPort)}\n\n${await measureWaits(context, redisPort)}`
  }
}

/**
 * Counts commands per call. It makes some calls one after the other, each with webhook, socket, actionHook
 * and last status event.
 */
async function countCommands({ bench, load }: Context, redisPort: number): Promise<string> {
  const proxy = await DelayProxy.listen(redisPort, NETWORK)
  const client = new Redis(redisPort)
  try {
    const { server } = withRedis(RECORD, proxy.port)
    const { counts, all, webhooks } = await bench.withServer(server, async (_server, port) => {
      await client.config('RESETSTAT')
      const before = proxy.roundTrips
      let webhooks = 0
      for (let call = 0; call < COUNTED_CALLS; call++) {
        const asked = proxy.roundTrips
        await load.ask('ask', { port, webhook: '/record', calls: 1, from: call })
        webhooks += proxy.roundTrips - asked
        await load.ask('open')
        await load.ask('speak', 'even')
        await load.ask('pause')
        await load.ask('hangUp', '/status')
      }
      return { counts: await client.info('commandstats'), all: proxy.roundTrips - before, webhooks }
    })
    const commands = [...counts.matchAll(/cmdstat_([\w|]+):calls=(\d+)/g)]
      .map(([, name = '', calls]) => ({ name, perCall: Number(calls) / COUNTED_CALLS }))
      .filter(({ name, perCall }) => perCall >= 0.5 && name !== 'info')
      .sort((a, b) => b.perCall - a.perCall)
    return (
      `A call, from its webhook to its last status event, takes ${number(all / COUNTED_CALLS)} round trips to Redis; its webhook ` +
      `${number(webhooks / COUNTED_CALLS)} of them. Commands per call, those within scripts included: ` +
      `${commands.map(({ name, perCall }) => `${name} ${number(perCall)}`).join(', ')}. None is per audio frame.`
    )
  } finally {
    client.disconnect()
    proxy.close()
  }
}

/** Measures how long a webhook of a new call takes, at a low rate. */
async function measureWaits({ bench, quick, log }: Context, redisPort: number): Promise<string> {
  const http = await bench.http()
  const proxy = await DelayProxy.listen(redisPort, NETWORK)
  const rows: string[][] = []
  try {
    for (const { name, server } of [
      { name: 'in memory', server: RECORD.server },
      { name: 'in Redis, beside it', server: withRedis(RECORD, redisPort).server },
      { name: `in Redis, ${NETWORK} ms away`, server: withRedis(RECORD, proxy.port).server }
    ]) {
      const { p50, p99, failures } = await bench.withServer(server, async (_server, port) => {
        const asked = { port, path: '/record', rate: RATE }
        await http.ask('steady', { ...asked, duration: 3 })
        return await http.ask('steady', { ...asked, duration: quick ? 3 : 8 })
      })
      if (failures > 0) throw new Error(`${name}: ${failures} webhooks failed`)
      log(`${name}: ${number(p50, 2)} ms`)
      rows.push([name, number(p50, 2), number(p99, 2)])
    }
  } finally {
    proxy.close()
  }
  return (
    `What a webhook takes, from its request to its answer, ms; ${RATE} new calls a second, at even distances\n\n` +
    table(['calls are kept', 'p50', 'p99'], rows)
  )
}
