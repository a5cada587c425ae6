import type { Remote } from '../harness/rpc.js'
import { median, spread } from '../harness/statistics.js'
import { number, table } from '../harness/table.js'
import type { SessionMethods, Transport } from '../load/sessions.js'
import type { ServerMethods } from '../server/main.js'
import type { Usage } from '../server/usage.js'
import type { Context, Section } from './types.js'

const TITLES: Readonly<Record<Transport, string>> = {
  websocket: 'one websocket for each call',
  http: "HTTP, jambonz' default: two connections for each call",
  pooled: 'HTTP, with its HTTP_POOL: 10 connections for all calls'
}
const TRANSPORTS: readonly Transport[] = ['websocket', 'http', 'pooled']
/** The server checks neither signatures nor passwords, because jambonz signs no messages on a websocket. */
const SERVER = { name: 'pluginUnsigned' } as const

interface Size {
  /** number of calls before the measurement, in which the engine compiles the code that runs often */
  warmUp: number
  /** number of calls per round and transport */
  calls: number
  rounds: number
  lives: number
  /** number of calls that are open while memory is measured */
  open: number
  /** number of processes, per transport, in which memory is measured */
  processes: number
}

const FULL: Size = { warmUp: 1_500, calls: 500, rounds: 15, lives: 2, open: 1_000, processes: 3 }
const QUICK: Size = { warmUp: 1_000, calls: 300, rounds: 7, lives: 1, open: 500, processes: 1 }
/** number of calls that are live at the same time while CPU is measured */
const AT_ONCE = 50
const CPU_GOAL = 1.5
/** goal in KiB for the memory that a call over a websocket needs more than a call over HTTP */
const MEMORY_GOAL = 24

/**
 * Compares a call over an application websocket with the same call over HTTP: the CPU of the call, and its
 * memory while it is live.
 */
export const sessions: Section = {
  title: 'Application websockets',
  async run(context) {
    const client = await context.bench.sessions()
    return `${await measureCpu(context, client)}\n\n${await measureMemory(context, client)}`
  }
}

async function measureCpu({ bench, quick, log }: Context, client: Remote<SessionMethods>): Promise<string> {
  const costs: Record<Transport, number[]> = { websocket: [], http: [], pooled: [] }
  const { lives, rounds, calls, warmUp } = quick ? QUICK : FULL
  for (let life = 1; life <= lives; life++) {
    await bench.withServer(SERVER, async (server, port) => {
      for (const transport of TRANSPORTS) {
        await client.ask('run', { port, transport, calls: warmUp, atOnce: AT_ONCE })
      }
      for (let round = 1; round <= rounds; round++) {
        // Every other round reverses the order of the transports. So each transport is first as often as
        // last.
        for (const transport of round % 2 === 0 ? TRANSPORTS.toReversed() : TRANSPORTS) {
          await server.ask('collectGarbage')
          const before = await server.ask('usage')
          await client.ask('run', { port, transport, calls, atOnce: AT_ONCE })
          const after = await server.ask('usage')
          costs[transport].push((after.cpu - before.cpu) / calls)
        }
        const cells = TRANSPORTS.map((name) => `${name} ${number(costs[name].at(-1) ?? NaN, 0)} µs`)
        log(`${life}.${round} ${cells.join(', ')}`)
      }
    })
  }
  const ratios = (base: Transport): number[] =>
    costs.websocket.map((cost, round) => cost / (costs[base][round] ?? NaN))
  return (
    `A call without audio, from its webhook to \`completed\`: the webhook answers a listen, three status events come, and the listen's ` +
    `actionHook. ${AT_ONCE} calls at once; median of ${rounds} rounds of ${calls} calls in turns, in each of ${lives} processes; the ratio ` +
    `is that within a round (goal ${CPU_GOAL})\n\n` +
    table(
      ['how jambonz asks', 'CPU µs/call', 'spread', 'websocket : this'],
      TRANSPORTS.map((transport) => [
        TITLES[transport],
        number(median(costs[transport]), 0),
        `± ${number(spread(costs[transport]) * 50, 0)} %`,
        number(median(ratios(transport)), 2)
      ])
    )
  )
}

interface Memory {
  heap: number
  external: number
  rss: number
}

async function measureMemory(context: Context, client: Remote<SessionMethods>): Promise<string> {
  const { open, processes } = context.quick ? QUICK : FULL
  const measured: Record<'websocket' | 'pooled', Memory[]> = { websocket: [], pooled: [] }
  for (let round = 1; round <= processes; round++) {
    for (const transport of ['pooled', 'websocket'] as const) {
      const memory = await openCalls(context, client, transport, open)
      measured[transport].push(memory)
      context.log(
        `${transport}: heap ${kib(memory.heap)}, buffers ${kib(memory.external)}, rss ${kib(memory.rss)} KiB`
      )
    }
  }
  const of = (transport: 'websocket' | 'pooled', part: keyof Memory): number =>
    median(measured[transport].map((memory) => memory[part]))
  const row = (title: string, value: (part: keyof Memory) => number): string[] => [
    title,
    kib(value('heap')),
    kib(value('external')),
    kib(value('rss'))
  ]
  return (
    `Memory of a live call, KiB: ${open} calls that wait in their listens, above the process before them, garbage collected; ` +
    `median of ${processes} processes each. Over HTTP no connection is open (goal of the difference ${MEMORY_GOAL})\n\n` +
    table(
      ['', 'heap', 'buffers', 'rss'],
      [
        row('one websocket for each call', (part) => of('websocket', part)),
        row('the same calls over HTTP, in the store alone', (part) => of('pooled', part)),
        row('difference: the session', (part) => of('websocket', part) - of('pooled', part))
      ]
    )
  )
}

/** Returns the bytes of memory that each open call needs. */
async function openCalls(
  { bench }: Context,
  client: Remote<SessionMethods>,
  transport: 'websocket' | 'pooled',
  open: number
): Promise<Memory> {
  return await bench.withServer(SERVER, async (server, port) => {
    const asked = { port, transport, atOnce: AT_ONCE }
    await client.ask('run', { ...asked, calls: open })
    const before = await collected(server)
    await client.ask('begin', { ...asked, calls: open })
    const after = await collected(server)
    await client.ask('endAll')
    return {
      heap: (after.heap - before.heap) / open,
      external: (after.external - before.external) / open,
      rss: (after.rss - before.rss) / open
    }
  })
}

async function collected(server: Remote<ServerMethods>): Promise<Usage> {
  await server.ask('collectGarbage')
  return await server.ask('usage')
}

function kib(bytes: number): string {
  return number(bytes / 1024, 1)
}
