import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import jambonzListen, { type JambonzListenOptions } from '../../../lib/index.js'
import { redisStore } from '../../../lib/store/redis.js'
import { WAV_HEADER_BYTES } from '../../../lib/pcm/wavHeader.js'
import { WEBHOOK_SECRET } from '../load/jambonz.js'
import type { RecordedFile, Serve, Served, ServerOptions } from './types.js'

/**
 * timeout of a listen in seconds. It never passes during a measurement, so only the cost of its timer is
 * measured.
 */
const NEVER = 3_600
/** ms of each utterance of the agent */
const UTTERANCE = 2_000

/** The plugin as an application registers it, without any option that makes it faster. */
export const servePlugin: Serve = (options) => serve(options, { webhookSecret: WEBHOOK_SECRET })

/** The plugin without `webhookSecret`, so that signatures are not checked. */
export const servePluginUnsigned: Serve = (options) => serve(options, {})

async function serve(
  { directory, redisPort }: ServerOptions,
  options: JambonzListenOptions
): Promise<Served> {
  const fastify = Fastify()
  await fastify.register(jambonzListen, {
    ...options,
    secret: 'shared by all instances',
    recording: { directory },
    ...(redisPort !== undefined && { store: redisStore(new Redis(redisPort)) })
  })
  const { jambonz } = fastify
  const files: RecordedFile[] = []
  const received = { bytes: 0 }

  jambonz.webhook('/record', () => [{ verb: 'listen', actionHook: '/done' }])

  jambonz.webhook('/read', () => [{ verb: 'listen', url: '/reader', actionHook: '/done' }])
  jambonz.audio('/reader', (stream) => {
    stream.on('data', (audio) => {
      received.bytes += audio.length
    })
  })

  jambonz.webhook('/iterate', () => [{ verb: 'listen', url: '/iterator', actionHook: '/done' }])
  jambonz.audio('/iterator', async (stream) => {
    for await (const audio of stream) received.bytes += (audio as Buffer).length
  })

  jambonz.webhook('/watch', () => [{ verb: 'listen', url: '/watcher', actionHook: '/done', timeout: NEVER }])
  jambonz.audio('/watcher', (stream) => {
    stream.on('audio', (audio) => {
      received.bytes += audio.length
    })
  })

  jambonz.webhook('/count', () => [{ verb: 'listen', url: '/counter', actionHook: '/done' }])
  jambonz.audio('/counter', { record: false }, () => {})

  jambonz.webhook('/echo', () => [
    {
      verb: 'listen',
      url: '/echoer',
      actionHook: '/done',
      bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8000 }
    }
  ])
  jambonz.audio('/echoer', { record: false }, (stream) => {
    stream.on('data', (audio) => {
      stream.write(audio)
    })
  })

  jambonz.webhook('/agent', () => [
    {
      verb: 'listen',
      url: '/agent',
      actionHook: '/done',
      bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8000 }
    }
  ])
  jambonz.audio('/agent', (stream) => {
    let utterance = stream.utterance()
    stream.on('data', (audio) => {
      if (utterance.writtenMs >= UTTERANCE) utterance = stream.utterance()
      utterance.write(audio)
    })
  })

  jambonz.calls.events.on('recording', (recording, { callSid }) => {
    const { location, channels } = recording
    files.push({ callSid, path: location, header: WAV_HEADER_BYTES, channels })
  })
  jambonz.calls.events.on('recordingFailed', (err) => {
    console.error(err)
  })
  jambonz.actionHook('/done', ({ listen }) => {
    if (listen.state !== 'ended') console.error(`the actionHook came before the end of listen ${listen.id}`)
  })
  jambonz.statusHook('/status')

  await fastify.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
  return { port: (fastify.server.address() as AddressInfo).port, recordings: async () => files }
}
