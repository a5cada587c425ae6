// The process of one instance of an application. argv: url of Redis (redis:, redis-cluster: or
// redis-sentinel:), folder of the recordings, port, ms to wait after the drain before it exits. It sends
// reports about its calls to its parent. On SIGTERM it drains with a handover.
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import { Cluster, Redis } from 'ioredis'
import jambonzListen from '../../lib/index.js'
import { redisStore } from '../../lib/store/redis.js'
import type { Listen } from '../../lib/model/schema.js'
import { Lateness } from './Lateness.js'

export type Report =
  | { what: 'listening'; port: number }
  | { what: 'late'; ms: number }
  | { what: 'webhook' | 'stream' | 'callEnded'; callSid: string }
  | { what: 'hook' | 'listenEnded'; callSid: string; listen?: Listen }

const [redisUrl = '', directory = '', port = '0', linger = '0'] = process.argv.slice(2)

function report(report: Report): void {
  process.send?.(report)
}

function clientOf(url: string): Redis | Cluster {
  const { protocol, hostname: host, port } = new URL(url)
  const node = { host, port: Number(port) }
  if (protocol === 'redis-cluster:') return new Cluster([node], { lazyConnect: true })
  if (protocol === 'redis-sentinel:') {
    return new Redis({ sentinels: [node], name: 'voice', lazyConnect: true })
  }
  return new Redis(url, { lazyConnect: true })
}

const lateness = new Lateness(join(directory, '.lateness', String(process.pid)), (ms) =>
  report({ what: 'late', ms })
)
const app = Fastify({ pluginTimeout: 60_000, logger: { level: process.env.LOG_LEVEL ?? 'fatal' } })
const redis = clientOf(redisUrl)
await app.register(jambonzListen, {
  secret: 'the same on all instances',
  auth: { username: 'jambonz', password: 'secret' },
  store: redisStore(redis),
  recording: { directory }
})

app.jambonz.calls.events
  .on('stream', ({ callSid }) => report({ what: 'stream', callSid }))
  .on('listenEnded', (listen, { callSid }) => report({ what: 'listenEnded', callSid, listen }))
  .on('callEnded', ({ callSid }) => report({ what: 'callEnded', callSid }))

app.jambonz.webhook('/call', async ({ call: { callSid } }) => {
  report({ what: 'webhook', callSid })
  return [{ verb: 'listen', actionHook: '/done', playBeep: true }, { verb: 'hangup' }]
})
app.jambonz.actionHook('/done', async ({ call: { callSid }, listen }) => {
  report({ what: 'hook', callSid, listen })
})
app.jambonz.statusHook('/status')
app.get('/ready', async (_request, reply) => {
  if (app.jambonz.draining) reply.code(503)
  return { draining: app.jambonz.draining }
})

// Ends when the parent process ends.
process.once('disconnect', () => {
  lateness.close()
  process.exit()
})
process.once('SIGTERM', async () => {
  await app.jambonz.drain(0, { handover: true })
  if (linger !== '0') await setTimeout(Number(linger))
  await app.close()
  process.exit()
})
await app.listen({ host: '127.0.0.1', port: Number(port) })
report({ what: 'listening', port: (app.server.address() as AddressInfo).port })
