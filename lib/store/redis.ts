import { Type, type TSchema } from '@sinclair/typebox'
import type { CallStore } from './CallStore.js'
import { ERR_REDIS_STORE } from '../model/errors.js'
import { checkOptions, MAX_TIMER_MS } from '../model/checkOptions.js'
import { checkClient, type RedisClient } from './redis/Link.js'
import { RedisStore, type RedisStoreSettings } from './redis/RedisStore.js'

export interface RedisStoreOptions {
  /** prefix of all keys; default `jambonz:` */
  prefix?: string | undefined
  /** ms that Redis may take to answer a command, before the store counts as away; default 1,000 */
  timeout?: number | undefined
  /**
   * ms between two heartbeats of an instance. After three missed heartbeats, the listens of the instance are
   * `lost`. Default 1,000
   */
  heartbeat?: number | undefined
  /** number of calls of which an instance keeps a copy, for use while Redis is away; default 5,000 */
  maxLocalCalls?: number | undefined
}

const DEFAULTS: RedisStoreSettings = {
  prefix: 'jambonz:',
  timeout: 1_000,
  heartbeat: 1_000,
  maxLocalCalls: 5_000
}
/** The smallest valid values of the options. */
const LEAST = { timeout: 10, heartbeat: 100, maxLocalCalls: 1 } as const
/** The names and types of the options. `redisStore()` checks the ranges of the numbers. */
const RedisStoreOptionsSchema = Type.Object(
  {
    prefix: Type.Optional(Type.String()),
    timeout: Type.Optional(Type.Number()),
    heartbeat: Type.Optional(Type.Number()),
    maxLocalCalls: Type.Optional(Type.Integer())
  } satisfies Record<keyof RedisStoreOptions, TSchema>,
  { additionalProperties: false }
)

/**
 * Returns a store in a Redis or Valkey that several instances share. `client`: `Redis` or `Cluster` of
 * ioredis, or `fastify.redis`. The store opens two connections of its own, with the settings of the client.
 * Throws FST_JAMBONZ_REDIS_STORE for a wrong client or option.
 */
export function redisStore(client: RedisClient, options: RedisStoreOptions = {}): CallStore {
  checkClient(client)
  const given = Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined))
  const settings = { ...DEFAULTS, ...given }
  for (const name of ['timeout', 'heartbeat', 'maxLocalCalls'] as const) {
    const [least, value]: [number, unknown] = [LEAST[name], settings[name]]
    if (typeof value !== 'number' || !(value >= least && value <= MAX_TIMER_MS)) {
      throw new ERR_REDIS_STORE(
        `${name} must be a number from ${least} to ${MAX_TIMER_MS}, not ${typeof value === 'string' ? JSON.stringify(value) : String(value)}`
      )
    }
  }
  checkOptions(RedisStoreOptionsSchema, options, '', ERR_REDIS_STORE)
  return new RedisStore(client, settings)
}

export type { RedisClient, RedisCommands, RedisConnection } from './redis/Link.js'
