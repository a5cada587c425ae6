import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import jambonzListen from 'fastify-jambonz-listen'
import { redisStore } from 'fastify-jambonz-listen/redis'
import { Redis } from 'ioredis'
import agent from './agent.js'
import desk from './desk/desk.js'
import type { Environment } from './environment.js'
import monitor from './monitor.js'
import voicemail from './voicemail.js'

/** Returns the application, ready to listen. */
export async function buildApp(
  environment: Environment,
  options: FastifyServerOptions = {}
): Promise<FastifyInstance> {
  const { AUDIO_USERNAME: username, AUDIO_PASSWORD: password, REDIS_URL } = environment
  const { WEBHOOK_USERNAME, WEBHOOK_PASSWORD } = environment
  const app = Fastify(options)
  const redis = REDIS_URL === undefined ? undefined : new Redis(REDIS_URL)
  redis?.on('error', (err) => app.log.warn({ err }, 'redis'))
  app.addHook('onClose', () => {
    redis?.disconnect()
  })

  await app.register(jambonzListen, {
    webhookSecret: environment.JAMBONZ_WEBHOOK_SECRET,
    webhookAuth: WEBHOOK_PASSWORD ? { username: WEBHOOK_USERNAME, password: WEBHOOK_PASSWORD } : undefined,
    auth: password ? { username, password } : undefined,
    secret: environment.SECRET,
    publicUrl: environment.PUBLIC_URL,
    store: redis && redisStore(redis),
    recording: {
      directory: environment.RECORDINGS_DIR,
      // Each day has a folder, and the names of its files sort by time.
      fileName: ({ listen, call }) =>
        `${listen.createdAt.slice(0, 19).replace('T', '/').replaceAll(':', '-')}-${call.from?.replace(/\W/g, '') ?? 'unknown'}-${listen.id.slice(-4)}`
    },
    fallback: [{ verb: 'say', text: 'Something went wrong. Please call again later.' }, { verb: 'hangup' }]
  })
  app.jambonz.statusHook('/status')
  // readiness probe for a load balancer
  app.get('/ready', async (_request, reply) => {
    if (app.jambonz.draining) reply.code(503)
    return { draining: app.jambonz.draining }
  })
  await app.register(voicemail)
  await app.register(monitor)
  await app.register(agent)
  await app.register(desk, environment)
  return app
}
