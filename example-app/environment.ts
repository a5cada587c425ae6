import { Type, type Static } from '@sinclair/typebox'
import { envSchema } from 'env-schema'

const text = (description: string, minLength = 1) => Type.Optional(Type.String({ minLength, description }))

export const EnvironmentSchema = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', description: 'address to listen on' }),
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65535, description: 'port to listen on' }),
  PUBLIC_URL: Type.Optional(Type.String({ pattern: '^https?://[^/?#]+/?$', description: 'origin under which jambonz reaches this application, such as the address of a tunnel' })),
  RECORDINGS_DIR: Type.String({ default: 'recordings', minLength: 1, description: 'folder of the recordings' }),
  DESK_USERNAME: text('user of the desk page; needed where HOST is not this machine alone'),
  DESK_PASSWORD: text('password of the desk page'),
  JAMBONZ_WEBHOOK_SECRET: text('webhook secret of the jambonz account: requests it did not sign are refused'),
  AUDIO_USERNAME: text('user of the audio socket'),
  AUDIO_PASSWORD: text('password of the audio socket'),
  SECRET: text('signs the audio paths, 16 characters or more; the same on all instances', 16),
  REDIS_URL: text('keeps the calls in this Redis, for several instances; else in memory'),
  DRAIN_SECONDS: Type.Integer({ default: 10, minimum: 0, description: 'seconds that live calls are given to end when the process is told to stop' })
})
export type Environment = Static<typeof EnvironmentSchema>

const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|localhost|::1)$/
const TOGETHER = [['DESK_USERNAME', 'DESK_PASSWORD'], ['AUDIO_USERNAME', 'AUDIO_PASSWORD']] as const

/** The settings of the process. Throws an error that names each variable that is wrong. */
export function readEnvironment (env: NodeJS.ProcessEnv = process.env): Environment {
  const environment = envSchema<Environment>({ schema: EnvironmentSchema, data: withoutEmpty(env), env: false })
  for (const [one, other] of TOGETHER) {
    if ((environment[one] === undefined) !== (environment[other] === undefined)) throw new Error(`set ${one} and ${other} together, or neither`)
  }
  if (environment.REDIS_URL !== undefined && environment.SECRET === undefined) throw new Error('set SECRET with REDIS_URL: each instance must know the audio paths that the others sign')
  if (!LOOPBACK.test(environment.HOST) && environment.DESK_PASSWORD === undefined) {
    throw new Error(`HOST=${environment.HOST} would show every call and recording to whoever reaches it: set DESK_USERNAME and DESK_PASSWORD, or HOST=127.0.0.1`)
  }
  return environment
}

/** `SECRET=` in a shell or a compose file means "not set". */
function withoutEmpty (env: NodeJS.ProcessEnv): Record<string, unknown> {
  return Object.fromEntries(Object.entries(env).filter(([name, value]) => name in EnvironmentSchema.properties && value !== ''))
}
