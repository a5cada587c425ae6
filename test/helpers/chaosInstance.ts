// The process of one instance in the chaos run. argv: url of Redis, folder of the recordings, folder of the
// sinks' files. It sends reports about its calls to its parent. The parent tells it to shift its clock and
// asks for its figures.
import { shiftDate } from './shiftedDate.js'
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { Writable } from 'node:stream'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import jambonzListen, { type Jambonz } from '../../lib/index.js'
import type { Listen } from '../../lib/model/schema.js'
import type { RecordingOptions, SinkContext } from '../../lib/recording/options.js'
import { redisStore } from '../../lib/store/redis.js'
import { OwnDelay, type DelayFigures } from './OwnDelay.js'
import { AUTH, CHAOS_HANDLERS, FULL, SINK, WEBHOOK_SECRET } from './chaosHandlers.js'

export type ChaosReport =
  | { what: 'listening'; port: number }
  | { what: 'unhandled' | 'warning'; text: string }
  | ({ what: 'figures' } & DelayFigures)
  | { what: 'hook' | 'listenEnded'; callSid: string; listen?: Listen }
  | { what: 'recordingFailed'; callSid: string }

/** `jump`: ms to add to the clock. `'figures'`: asks for the figures of the event loop's delay. */
export type ChaosOrder = { jump: number } | 'figures'

/** seconds that a signature may be old; long because the clocks of the instances jump by hours */
const TOLERANCE = 86_400
/** ms that a recording may wait for its disk */
const WRITE_TIMEOUT = 2_000

const [redisUrl = '', directory = '', taken = ''] = process.argv.slice(2)

function report(report: ChaosReport): void {
  process.send?.(report)
}

function reportFigures(): void {
  report({ what: 'figures', ...delay.figures })
}

process.on('uncaughtExceptionMonitor', (err) => report({ what: 'unhandled', text: String(err.stack) }))
process.on('warning', ({ name, message }) => report({ what: 'warning', text: `${name}: ${message}` }))

/** Returns a sink that works, or that fails in a random way. */
async function chaoticSink(_stream: unknown, { name }: SinkContext): Promise<Writable> {
  const way = Math.random()
  if (way < 0.1) throw new Error('the sink is away')
  if (way < 0.2) {
    return Object.assign(new Writable(), {
      write: (): boolean => {
        throw new Error('the sink threw')
      }
    })
  }
  if (way < 0.3) return new Writable({ write: () => {} })
  if (way < 0.4) {
    return new Writable({ write: (_chunk, _encoding, done) => done(new Error('the sink failed')) })
  }
  const file = join(taken, name)
  await mkdir(dirname(file), { recursive: true })
  return createWriteStream(file)
}

const applications: Jambonz[] = []

async function serve(instance: FastifyInstance, recording: RecordingOptions): Promise<void> {
  await instance.register(jambonzListen, {
    secret: 'the same on all instances',
    webhookSecret: WEBHOOK_SECRET,
    signatureTolerance: TOLERANCE,
    auth: AUTH,
    store: redisStore(new Redis(redisUrl, { lazyConnect: true }), { prefix: `chaos${instance.prefix}:` }),
    recording: { ...recording, writeTimeout: WRITE_TIMEOUT, flushInterval: 200 },
    limits: { heartbeat: 2_000, maxBuffered: 64 * 1024 }
  })
  const { jambonz } = instance
  applications.push(jambonz)
  jambonz.calls.events
    .on('listenEnded', (listen, { callSid }) => report({ what: 'listenEnded', callSid, listen }))
    .on('recordingFailed', (_error, { callSid }) => report({ what: 'recordingFailed', callSid }))
  for (const [i, { handle }] of [...CHAOS_HANDLERS.values()].entries()) {
    jambonz.audio(`/audio/${i}`, async (stream) => await handle?.(stream))
  }
  jambonz.webhook('/call', async ({ query }) => {
    const { handler = '' } = query as { handler?: string }
    const { mode = 'off' } = CHAOS_HANDLERS.get(handler) ?? {}
    return [
      {
        verb: 'listen',
        url: `${instance.prefix}/audio/${[...CHAOS_HANDLERS.keys()].indexOf(handler)}`,
        actionHook: `${instance.prefix}/done`,
        passDtmf: true,
        maxLength: 10,
        bidirectionalAudio: { enabled: mode !== 'off', streaming: mode === 'streaming' }
      },
      { verb: 'hangup' }
    ]
  })
  jambonz.actionHook('/done', async ({ call: { callSid }, listen }) => {
    report({ what: 'hook', callSid, listen })
  })
  jambonz.statusHook('/status')
}

const app = Fastify({ pluginTimeout: 60_000, logger: { level: process.env.LOG_LEVEL ?? 'fatal' } })
await app.register(websocket)
await app.register((scope) =>
  serve(scope, {
    directory,
    fileName: ({ call, listen }) => `${call.from === FULL ? `${FULL}/` : ''}${listen.callSid}-${listen.id}`
  })
)
await app.register((scope) => serve(scope, { sink: chaoticSink }), { prefix: SINK })

process.on('message', (order: ChaosOrder) => {
  if (order === 'figures') reportFigures()
  else shiftDate(order.jump)
})
// Ends when the parent process ends.
process.once('disconnect', () => process.exit())
process.once('SIGTERM', async () => {
  await Promise.all(applications.map((jambonz) => jambonz.drain(0, { handover: true })))
  await app.close()
  reportFigures()
  process.exit()
})
await app.listen({ host: '127.0.0.1', port: 0 })
// Begins to measure here, because work before this line can't delay a call.
const delay = new OwnDelay()
report({ what: 'listening', port: (app.server.address() as AddressInfo).port })
