import type { HttpMethods } from '../load/http.js'
import type { Remote } from '../harness/rpc.js'
import { median } from '../harness/statistics.js'
import { number, table } from '../harness/table.js'
import type { ServerName } from '../server/types.js'
import type { Context, Section } from './types.js'

const SERVERS: ReadonlyArray<{ name: ServerName, title: string, slow?: boolean }> = [
  { name: 'signedRoute', title: 'bare Fastify route, signature checked' },
  { name: 'bareRoute', title: 'bare Fastify route' },
  { name: 'plugin', title: 'plugin: signed, validated, correlated in memory' },
  { name: 'express', title: 'Express + `@jambonz/sdk`, signed, without validation' },
  { name: 'expressValidating', title: 'Express + `@jambonz/sdk`, signed, its default validation', slow: true }
]

/** Webhooks of new calls: how many a server answers with one core. */
export const webhooks: Section = {
  title: 'Webhooks',
  async run (context) {
    const rounds = context.quick ? 1 : 3
    const http = await context.bench.http()
    const runs = new Map(SERVERS.map(({ name }) => [name, [] as Answered[]]))
    for (let round = 0; round < rounds; round++) {
      for (const { name, slow } of SERVERS) {
        const answered = await measure(context, http, name, slow ? 2 : 50)
        runs.get(name)?.push(answered)
        context.log(`${round + 1}/${rounds} ${name}: ${number(answered.perSecond, 0)}/s`)
      }
    }
    const base = runs.get('signedRoute') ?? []
    return table(['server', 'requests/s', 'x signed route', 'CPU µs/request'], SERVERS.map(({ name, title }) => {
      const answered = runs.get(name) ?? []
      return [
        title, number(median(answered.map(({ perSecond }) => perSecond)), 0),
        number(median(answered.map(({ perSecond }, round) => perSecond / (base[round]?.perSecond ?? NaN))), 3),
        number(median(answered.map(({ cpu }) => cpu)), 0)
      ]
    }))
  }
}

interface Answered {
  perSecond: number
  /** µs per request */
  cpu: number
}

async function measure ({ bench, quick }: Context, http: Remote<HttpMethods>, name: ServerName, connections: number): Promise<Answered> {
  return await bench.withServer({ name }, async (server, port) => {
    const asked = { port, path: '/record', connections }
    await http.ask('run', { ...asked, duration: quick ? 1 : 3 })
    const before = await server.ask('usage')
    const { requests, failures } = await http.ask('run', { ...asked, duration: quick ? 2 : 5 })
    const after = await server.ask('usage')
    if (failures > 0) throw new Error(`${name}: ${failures} of ${requests} webhooks failed`)
    return { perSecond: requests / (after.at - before.at) * 1000, cpu: (after.cpu - before.cpu) / requests }
  })
}
