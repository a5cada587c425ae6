import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import jambonzListen from 'fastify-jambonz-listen'
import type { Environment } from './environment.js'
import voicemail from './voicemail.js'

/** The application, ready to listen. */
export async function buildApp (environment: Environment, options: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const { JAMBONZ_WEBHOOK_SECRET, AUDIO_USERNAME, AUDIO_PASSWORD, SECRET, RECORDINGS_DIR } = environment
  const app = Fastify(options)
  await app.register(jambonzListen, {
    ...(JAMBONZ_WEBHOOK_SECRET && { webhookSecret: JAMBONZ_WEBHOOK_SECRET }),
    ...(AUDIO_USERNAME && AUDIO_PASSWORD && { auth: { username: AUDIO_USERNAME, password: AUDIO_PASSWORD } }),
    ...(SECRET && { secret: SECRET }),
    recording: { directory: RECORDINGS_DIR },
    fallback: [{ verb: 'say', text: 'Something went wrong. Please call again later.' }, { verb: 'hangup' }]
  })
  await app.register(voicemail)
  return app
}
