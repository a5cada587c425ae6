import type { HttpMethods, HttpOptions, HttpResult } from '../load/http.js'
import type { Remote } from '../harness/rpc.js'
import { median } from '../harness/statistics.js'
import { number, table } from '../harness/table.js'
import type { ServerMethods } from '../server/main.js'
import type { ServerName } from '../server/types.js'
import type { Context, Section } from './types.js'

interface Compared {
  name: ServerName
  title: string
  /** the server with which this server is compared */
  base: ServerName
  /** a number of requests per second that this server never reaches */
  below?: number
}

const SERVERS: readonly Compared[] = [
  { name: 'bareRoute', title: 'bare Fastify route, same schemas', base: 'bareRoute' },
  { name: 'pluginUnsigned', title: 'plugin: validated, correlated in memory', base: 'bareRoute' },
  { name: 'signedRoute', title: 'bare Fastify route, same schemas, signature checked', base: 'signedRoute' },
  { name: 'plugin', title: 'plugin: signed, validated, correlated in memory', base: 'signedRoute' },
  { name: 'express', title: 'Express + `@jambonz/sdk`, signed, without validation', base: 'signedRoute' },
  {
    name: 'expressValidating',
    title: 'Express + `@jambonz/sdk`, signed, its default validation',
    base: 'signedRoute',
    below: 100
  }
]

/**
 * The plugin with more parts in each row. If the title does not say otherwise, a row has all parts of the row
 * before it.
 */
const PARTS: readonly Compared[] = [
  { name: 'signedRoute', title: 'bare Fastify route, same schemas, signature checked', base: 'signedRoute' },
  { name: 'webhookHooks', title: 'plugin: its hooks, parser and reader of payloads', base: 'signedRoute' },
  { name: 'webhookCall', title: '… and the call written to memory, before its handler', base: 'signedRoute' },
  { name: 'webhookVerb', title: '… and one verb copied, checked and sent', base: 'signedRoute' },
  {
    name: 'webhookListen',
    title: 'its hooks and a listen: id, signed path, hook; nothing stored',
    base: 'signedRoute'
  },
  { name: 'plugin', title: 'all of it: the call and the listen are written', base: 'signedRoute' }
]

const CONNECTIONS = 50
/** Number of requests before the measurement, in which the engine compiles the code that runs often. */
const WARM_UP = 40_000
/**
 * Number of processes per server. Several are needed, because two processes of one server differ by up to 10
 * % as long as they live.
 */
const LIVES = 2
/** number of rounds in each process */
const ROUNDS = 5
/**
 * Requests per second in the comparison of CPU. No server is at its limit then. An overloaded server would
 * seem cheaper, because it handles several requests per wake-up.
 */
const RATE = 2_000

/** Measures how many webhooks of new calls a server answers per second on one core. */
export const webhooks: Section = {
  title: 'Webhooks',
  run: (context) => compare(context, SERVERS)
}

/** Measures how much CPU each part of the plugin needs for a webhook, by leaving parts out. */
export const webhookParts: Section = {
  title: 'What a webhook costs, part by part',
  run: (context) => compare(context, PARTS)
}

async function compare(context: Context, compared: readonly Compared[]): Promise<string> {
  const lives = context.quick ? 1 : LIVES
  const http = await context.bench.http()
  const runs = new Map(compared.map(({ name }) => [name, [] as Answered[]]))
  for (let life = 1; life <= lives; life++) {
    await withAll(context, compared, [], async (servers) => {
      for (const server of servers) {
        await http.ask('run', { ...askedOf(server), amount: server.below === undefined ? WARM_UP : 4 })
      }
      for (let round = 1; round <= ROUNDS; round++) {
        // Every other round reverses the order, because the first server of a round is a tenth slower if
        // another server ran before it.
        for (const server of round % 2 === 0 ? servers.toReversed() : servers) {
          runs.get(server.name)?.push(await measure(http, server))
        }
        context.log(
          `${life}.${round} ${servers.map(({ name }) => `${name} ${number(runs.get(name)?.at(-1)?.cpu ?? NaN, 0)} µs`).join(', ')}`
        )
      }
    })
  }
  return (
    `Median of ${ROUNDS} rounds of a second, in turns, with each of ${lives} processes of each server; the ratios are those within a round. ` +
    `CPU is that at ${number(RATE, 0)} requests a second, at even distances\n\n` +
    table(
      ['server', 'requests/s, at most', 'x its bare route', 'CPU µs/request', 'x its bare route'],
      compared.map(({ name, title, base }) => {
        const answered = runs.get(name) ?? []
        const bases = runs.get(base) ?? []
        return [
          title,
          number(median(answered.map(({ perSecond }) => perSecond)), 0),
          number(
            median(answered.map(({ perSecond }, round) => perSecond / (bases[round]?.perSecond ?? NaN))),
            2
          ),
          number(median(answered.map(({ cpu }) => cpu)), 0),
          number(median(answered.map(({ cpu }, round) => cpu / (bases[round]?.cpu ?? NaN))), 2)
        ]
      })
    )
  )
}

interface Started extends Compared {
  remote: Remote<ServerMethods>
  port: number
}

interface Answered {
  perSecond: number
  /** µs of CPU per request */
  cpu: number
}

/**
 * Starts all servers at the beginning, because the speed of the machine changes within minutes. A server
 * without requests uses no CPU.
 */
async function withAll(
  context: Context,
  servers: readonly Compared[],
  started: readonly Started[],
  use: (servers: readonly Started[]) => Promise<void>
): Promise<void> {
  const [next, ...others] = servers
  if (next === undefined) return await use(started)
  await context.bench.withServer({ name: next.name }, (remote, port) =>
    withAll(context, others, [...started, { ...next, remote, port }], use)
  )
}

function askedOf({ port, below }: Started): HttpOptions {
  return { port, path: '/record', connections: below === undefined ? CONNECTIONS : 2 }
}

async function measure(http: Remote<HttpMethods>, server: Started): Promise<Answered> {
  const asked = askedOf(server)
  const most = await answered(server, () => http.ask('run', { ...asked, duration: 1 }))
  const steady =
    server.below === undefined
      ? await answered(server, () => http.ask('steady', { ...asked, rate: RATE, duration: 1 }))
      : most
  return { perSecond: most.perSecond, cpu: steady.cpu }
}

async function answered(
  server: Started,
  ask: () => Promise<Pick<HttpResult, 'requests' | 'failures'>>
): Promise<Answered> {
  const before = await server.remote.ask('usage')
  const { requests, failures } = await ask()
  const after = await server.remote.ask('usage')
  if (failures > 0) throw new Error(`${server.name}: ${failures} of ${requests} webhooks failed`)
  return { perSecond: (requests / (after.at - before.at)) * 1000, cpu: (after.cpu - before.cpu) / requests }
}
