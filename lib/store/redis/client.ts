import { ERR_REDIS_STORE } from '../../model/errors.js'

// Structural types of all that is used of ioredis, which is not imported.

/** The commands of the store. Redis 6.2 has them all, and so has every Valkey. */
export interface RedisCommands {
  eval(script: string, keys: number, ...args: string[]): Promise<unknown>
  evalsha(sha1: string, keys: number, ...args: string[]): Promise<unknown>
  hgetall(key: string): Promise<Record<string, string>>
  pexpire(key: string, ms: number): Promise<unknown>
  pttl(key: string): Promise<unknown>
  sadd(key: string, ...members: string[]): Promise<unknown>
  srem(key: string, ...members: string[]): Promise<unknown>
  smembers(key: string): Promise<string[]>
  zadd(key: string, ...args: string[]): Promise<unknown>
  zrem(key: string, ...members: string[]): Promise<unknown>
  zrevrange(key: string, start: number, stop: number): Promise<string[]>
  zrangebyscore(
    key: string,
    ...args: [min: string, max: string, limit: 'LIMIT', offset: number, count: number]
  ): Promise<string[]>
  publish(channel: string, message: string): Promise<unknown>
  subscribe(channel: string): Promise<unknown>
}

export interface RedisConnection extends RedisCommands {
  readonly status: string
  on(event: 'ready' | 'close', listener: () => void): unknown
  on(event: 'error', listener: (err: Error) => void): unknown
  on(event: 'message', listener: (channel: string, message: string) => void): unknown
  disconnect(reconnect?: boolean): void
}

interface ClientOptions {
  readonly options?: { readonly keyPrefix?: string }
}

interface StandaloneClient extends ClientOptions {
  readonly isCluster: boolean
  duplicate(options?: object): RedisConnection
}

interface ClusterClient extends ClientOptions {
  readonly isCluster: boolean
  duplicate(nodes?: [], options?: object): RedisConnection
}

/** A client of ioredis, `Redis` or `Cluster`, such as `fastify.redis` of `@fastify/redis`. */
export type RedisClient = StandaloneClient | ClusterClient

/** ms between attempts to connect, at most: how soon a returning server is noticed */
const MAX_RECONNECT_DELAY = 500
const CONNECT_TIMEOUT = 2_000
/** ms of silence after which the kernel looks whether the other end is there: a subscriber says nothing by itself */
const KEEP_ALIVE = 10_000

/**
 * Opens a connection of our own with the client's settings. On the application's connection, its blocking commands
 * would delay ours, and so would its queue of commands while the server is away. `queue`: commands wait for the
 * connection instead of failing at once.
 */
export function connectLike(client: RedisClient, queue: boolean): RedisConnection {
  if (typeof client?.duplicate !== 'function') {
    throw new ERR_REDIS_STORE('the client is not one of ioredis: pass `new Redis(url)` or `fastify.redis`')
  }
  const connection = {
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    connectTimeout: CONNECT_TIMEOUT,
    keepAlive: KEEP_ALIVE
  }
  const shared = { enableOfflineQueue: queue, lazyConnect: false }
  return client.isCluster
    ? (client as ClusterClient).duplicate([], {
        ...shared,
        scaleReads: 'master',
        clusterRetryStrategy: reconnectDelay,
        redisOptions: connection
      })
    : (client as StandaloneClient).duplicate({ ...shared, ...connection, retryStrategy: reconnectDelay })
}

function reconnectDelay(times: number): number {
  return Math.min(50 * times, MAX_RECONNECT_DELAY)
}
