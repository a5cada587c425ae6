import { Type, type Static } from '@sinclair/typebox'
import { envSchema } from 'env-schema'

const text = (description: string, minLength = 1) => Type.Optional(Type.String({ minLength, description }))

export const EnvironmentSchema = Type.Object(
  {
    HOST: Type.String({ default: '127.0.0.1', description: 'address to listen on' }),
    PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65535, description: 'port to listen on' }),
    PUBLIC_URL: Type.Optional(
      Type.String({
        pattern: '^https?://[^/?#]+/?$',
        description:
          'origin under which jambonz reaches this application, such as the address of a tunnel; needs DESK_PASSWORD'
      })
    ),
    RECORDINGS_DIR: Type.String({
      default: 'recordings',
      minLength: 1,
      description: 'folder of the recordings'
    }),
    DESK_PASSWORD: text(
      'password of the desk page, whatever the user name; needed with PUBLIC_URL, and where HOST is not this machine alone'
    ),
    JAMBONZ_WEBHOOK_SECRET: text(
      'webhook secret of the jambonz account: requests it did not sign are refused'
    ),
    WEBHOOK_USERNAME: Type.String({
      default: 'jambonz',
      minLength: 1,
      description: 'user that jambonz shows with its webhooks, where there is a password'
    }),
    WEBHOOK_PASSWORD: text(
      'password that jambonz shows with its webhooks; beside a webhook secret, applications over a websocket need it'
    ),
    AUDIO_USERNAME: Type.String({
      default: 'jambonz',
      minLength: 1,
      description: 'user that jambonz shows at the audio socket, where there is a password'
    }),
    AUDIO_PASSWORD: text('password that jambonz shows at the audio socket'),
    SECRET: text('signs the audio paths, 16 characters or more; the same on all instances', 16),
    REDIS_URL: text('keeps the calls in this Redis, for several instances with one SECRET; else in memory'),
    DRAIN_SECONDS: Type.Integer({
      default: 10,
      minimum: 0,
      description: 'seconds that live calls are given to end when the process is told to stop'
    })
  },
  { dependencies: { REDIS_URL: ['SECRET'] } }
)
export type Environment = Static<typeof EnvironmentSchema>

const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|localhost|::1)$/

/**
 * Returns the settings of the process, from its environment variables. Throws an error that names each
 * invalid variable.
 */
export function readEnvironment(env: NodeJS.ProcessEnv = process.env): Environment {
  // An empty variable counts as not set, because in a shell or a compose file `SECRET=` means that.
  const data = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
  const environment = envSchema<Environment>({ schema: EnvironmentSchema, data, env: false })
  const { HOST, PUBLIC_URL, DESK_PASSWORD } = environment
  if (DESK_PASSWORD === undefined && !LOOPBACK.test(HOST)) {
    throw new Error(
      `HOST=${HOST} would show every call and recording to whoever reaches it: set DESK_PASSWORD, or HOST=127.0.0.1`
    )
  }
  if (DESK_PASSWORD === undefined && PUBLIC_URL !== undefined) {
    throw new Error(
      `PUBLIC_URL=${PUBLIC_URL} would show every call and recording to whoever knows it: set DESK_PASSWORD`
    )
  }
  return environment
}
