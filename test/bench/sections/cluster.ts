import { measureCalls } from '../harness/measureCalls.js'
import { number, table } from '../harness/table.js'
import type { Section } from './types.js'
import { RECORD } from './variants.js'

const CALLS = 400

/** Measures several processes behind one port, whose calls are stored in Redis. */
export const cluster: Section = {
  title: 'Cluster, with the Redis store',
  async run({ bench, load, redisPort, log }) {
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
      table(['', 'CPU µs/message', 'KiB/call', 'opened in ms', 'verified'], rows)
    )
  }
}
