import { Type, type Static } from '@sinclair/typebox'
import { envSchema } from 'env-schema'

const EnvironmentSchema = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', description: 'address to listen on' }),
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65535, description: 'port to listen on' }),
  RECORDINGS_DIR: Type.String({ default: 'recordings', minLength: 1, description: 'folder of the recordings' }),
  JAMBONZ_WEBHOOK_SECRET: Type.Optional(Type.String({ minLength: 1, description: 'webhook secret of the jambonz account' })),
  AUDIO_USERNAME: Type.Optional(Type.String({ minLength: 1, description: 'Basic user of the audio socket' })),
  AUDIO_PASSWORD: Type.Optional(Type.String({ minLength: 1, description: 'Basic password of the audio socket' })),
  SECRET: Type.Optional(Type.String({ minLength: 16, description: 'signs the audio paths; the same on all instances' }))
})
export type Environment = Static<typeof EnvironmentSchema>

/** The settings of the process. Throws an error that names each variable that is wrong. */
export function readEnvironment (env: NodeJS.ProcessEnv = process.env): Environment {
  const environment = envSchema<Environment>({ schema: EnvironmentSchema, data: withoutEmpty(env), env: false })
  if ((environment.AUDIO_USERNAME === undefined) !== (environment.AUDIO_PASSWORD === undefined)) {
    throw new Error('set AUDIO_USERNAME and AUDIO_PASSWORD together, or neither')
  }
  return environment
}

/** `SECRET=` in a shell or a compose file means "not set". */
function withoutEmpty (env: NodeJS.ProcessEnv): Record<string, unknown> {
  return Object.fromEntries(Object.entries(env).filter(([name, value]) => name in EnvironmentSchema.properties && value !== ''))
}
