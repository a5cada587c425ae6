import { setTimeout as sleep } from 'node:timers/promises'
import type { Arrivals } from '../load/Pacer.js'
import type { LoadMethods, Progress } from '../load/main.js'
import type { ServerMethods } from '../server/main.js'
import type { Usage } from '../server/usage.js'
import type { ServerOptions } from '../server/types.js'
import type { Bench } from './Bench.js'
import type { Remote } from './rpc.js'
import { verify } from './verify.js'

export interface Variant {
  name: string
  server: Omit<ServerOptions, 'directory'>
  /** path of the webhook of the plugin */
  webhook?: string
  echo?: boolean
  /** true: the recordings are compared with the sent audio */
  records?: boolean
}

export interface Load {
  calls: number
  arrivals: Arrivals
  /** ms of the warm-up (`warmUp`), and of the measurement after it (`measure`) */
  warmUp: number
  measure: number
  /** number of messages that each of a few calls sends before the measurement; default 1,000 */
  rehearsal?: number
}

export interface Measured {
  /** µs of the server's CPU per audio message */
  cpuPerMessage: number
  /** µs of `cpuPerMessage` that the kernel used */
  systemPerMessage: number
  /** used part of one core, from 0 to 1 */
  cpu: number
  messages: number
  openedMs: number
  /** bytes of resident memory by which the server has grown since it was idle: uncollected garbage is a part of it */
  grownBy: number
  /** the same, divided by the number of calls */
  rssPerCall: number
  /** bytes of heap and buffers per call above the idle server, after a garbage collection */
  usedPerCall: number
  /** delay of the server's event loop in ms, 99th percentile */
  loopDelayP99: number
  /** ms by which the load generator was late; if it was very late, the result is invalid */
  lateMs: number
  echo?: Progress['echo']
  verifiedBytes: number
}

/**
 * Number of calls before the measurement. After them, the memory of the idle server is that of an application
 * in use.
 */
const REHEARSAL_CALLS = 20
const REHEARSAL_FROM = 1_000_000

/** Measures one variant: opens all calls, sends audio, measures, hangs up, and checks the recordings. */
export async function measureCalls(
  bench: Bench,
  load: Remote<LoadMethods>,
  variant: Variant,
  { calls, arrivals, warmUp, measure, rehearsal = 1_000 }: Load
): Promise<Measured> {
  return await bench.withServer(variant.server, async (server, port) => {
    const asked = {
      port,
      ...(variant.webhook !== undefined && { webhook: variant.webhook }),
      echo: variant.echo ?? false
    }
    await rehearse(server, load, asked, rehearsal)
    const idle = await usageAfterCollection(server)

    await load.ask('ask', { ...asked, calls })
    const opened = await load.ask('open')
    fail(variant, opened.failures)
    await load.ask('speak', arrivals)
    await sleep(warmUp)
    await server.ask('resetDelay')
    const [before, first] = await Promise.all([server.ask('usage'), load.ask('progress')])
    await sleep(measure)
    const [after, last] = await Promise.all([server.ask('usage'), load.ask('progress')])
    fail(variant, last.failures)

    const collected = await usageAfterCollection(server)
    const sent = await load.ask('pause')
    fail(variant, (await load.ask('hangUp', undefined)).failures)
    const { bytes } = variant.records ? verify(await server.ask('recordings'), sent) : { bytes: 0 }
    const messages = last.sent - first.sent
    return {
      cpuPerMessage: (after.cpu - before.cpu) / messages,
      systemPerMessage: (after.system - before.system) / messages,
      cpu: (after.cpu - before.cpu) / 1000 / (after.at - before.at),
      messages,
      openedMs: opened.ms,
      grownBy: after.rss - idle.rss,
      rssPerCall: (after.rss - idle.rss) / calls,
      usedPerCall: (collected.heap + collected.external - idle.heap - idle.external) / calls,
      loopDelayP99: after.delayP99,
      lateMs: last.lateMs,
      ...(last.echo && { echo: last.echo }),
      verifiedBytes: bytes
    }
  })
}

async function rehearse(
  server: Remote<ServerMethods>,
  load: Remote<LoadMethods>,
  asked: { port: number; webhook?: string; echo: boolean },
  ms: number
): Promise<void> {
  await load.ask('ask', { ...asked, calls: REHEARSAL_CALLS, from: REHEARSAL_FROM })
  await load.ask('open')
  await load.ask('speak', 'even')
  await sleep(ms)
  await load.ask('pause')
  await load.ask('hangUp', undefined)
  await server.ask('recordings')
}

async function usageAfterCollection(server: Remote<ServerMethods>): Promise<Usage> {
  await server.ask('collectGarbage')
  return await server.ask('usage')
}

function fail({ name }: Variant, failures: readonly string[]): void {
  if (failures.length > 0) {
    throw new Error(`${name}: ${failures.length} calls failed, the first: ${failures[0]}`)
  }
}
