import { Redis } from 'ioredis'
import { measureCalls } from '../harness/measureCalls.js'
import { number, table } from '../harness/table.js'
import type { Context, Section } from './types.js'
import { withRedis, RECORD } from './variants.js'

const CALLS = 400
const COUNTED_CALLS = 200

/** Several processes behind one port, their calls in Redis; and what a call asks of Redis. */
export const cluster: Section = {
  title: 'Cluster, with the Redis store',
  async run(context) {
    const { bench, load, redisPort, log } = context
    if (redisPort === undefined) return 'redis-server is not installed'
    const rows: string[][] = []
    for (const workers of [1, 2]) {
      const variant = {
        ...RECORD,
        name: `${workers} ${workers === 1 ? 'process' : 'processes'}`,
        server: { name: 'cluster' as const, redisPort, workers }
      }
      const { cpuPerMessage, rssPerCall, openedMs, verifiedBytes } = await measureCalls(
        bench,
        load,
        variant,
        { calls: CALLS, arrivals: 'ticks', warmUp: 4_000, measure: 5_000 }
      )
      log(`${variant.name}: ${number(cpuPerMessage)} µs`)
      rows.push([
        variant.name,
        number(cpuPerMessage),
        number(rssPerCall / 1024, 0),
        number(openedMs, 0),
        `${Math.round(verifiedBytes / 2 ** 20)} MiB`
      ])
    }
    return (
      `${CALLS} calls; webhook, socket and actionHook of each go to whichever process is next. All processes share one core.\n\n` +
      table(['', 'CPU µs/message', 'KiB/call', 'opened in ms', 'verified'], rows) +
      `\n\n${await countCommands(context, redisPort)}`
    )
  }
}

/** Webhook, socket, actionHook and last status event of some calls. */
async function countCommands({ bench, load }: Context, redisPort: number): Promise<string> {
  const redis = new Redis(redisPort)
  const counts = await bench.withServer(withRedis(RECORD, redisPort).server, async (_server, port) => {
    await redis.config('RESETSTAT')
    await load.ask('ask', { port, webhook: '/record', calls: COUNTED_CALLS })
    await load.ask('open')
    await load.ask('speak', 'even')
    await load.ask('pause')
    await load.ask('hangUp', '/status')
    return await redis.info('commandstats')
  })
  redis.disconnect()
  const commands = [...counts.matchAll(/cmdstat_([\w|]+):calls=(\d+)/g)]
    .map(([, name = '', calls]) => ({ name, perCall: Number(calls) / COUNTED_CALLS }))
    .filter(({ name, perCall }) => perCall >= 0.5 && name !== 'info')
    .sort((a, b) => b.perCall - a.perCall)
  return `Redis commands per call, from its webhook to its last status event (those within scripts included): ${commands.map(({ name, perCall }) => `${name} ${number(perCall)}`).join(', ')}`
}
