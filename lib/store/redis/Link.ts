import type { FastifyBaseLogger } from 'fastify'
import { isError } from '../../model/json.js'
import { ERR_REDIS_STORE } from '../../model/errors.js'

// Types of the parts of ioredis that the store uses. ioredis itself is not imported.

/** The Redis commands that the store uses. Redis 6.2 and every Valkey have all of them. */
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
  readonly options?: { readonly keyPrefix?: string | undefined }
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

/** maximum ms between two attempts to connect */
const MAX_RECONNECT_DELAY = 500
const CONNECT_TIMEOUT = 2_000
/**
 * ms without data after which the kernel checks the connection, since a subscriber sends nothing by itself
 */
const KEEP_ALIVE = 10_000

/** Throws FST_JAMBONZ_REDIS_STORE if the client is not one of ioredis. Those of the package redis write `hGetAll`. */
export function checkClient(client: Partial<Record<'duplicate' | 'hgetall', unknown>> | undefined): void {
  if (typeof client?.duplicate === 'function' && typeof client.hgetall === 'function') return
  throw new ERR_REDIS_STORE(
    'the client is not one of ioredis: pass `new Redis(url)` of the package ioredis, or `fastify.redis`. A client of the package redis (`createClient()`) has other methods'
  )
}

/**
 * Opens a new connection with the client's settings. The store does not use the application's own connection,
 * because blocking commands and the offline queue of the application would delay the commands of the store.
 * `queue`: true if commands wait until the connection is open; false if commands fail at once while the
 * connection is not open.
 */
export function connectLike(client: RedisClient, queue: boolean): RedisConnection {
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

/** ms between two attempts to reach Redis again */
const RETRY_INTERVAL = 500
/** ms between two attempts to subscribe after Redis refused, since an operator may grant the permission */
const RESUBSCRIBE_INTERVAL = 5_000

/** The error of a Redis that can't be reached, or accepts no writes. */
export class Away extends Error {}

/** The error of a command that Redis did not answer in time. */
class Late extends Away {}

/**
 * The error codes of a Redis that executes no commands because it is full, read-only or loading, elects a
 * master, or denies access.
 */
const OUTAGE =
  /\b(?:OOM|READONLY|MISCONF|LOADING|BUSY|NOREPLICAS|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|MOVED|ASK|NOAUTH|WRONGPASS|NOPERM|max number of clients)\b/

/**
 * The error codes of a server that is no longer the master. Its address may lead to the new master, but only new
 * connections get there.
 */
const DEMOTED = /^(?:READONLY|MASTERDOWN|NOREPLICAS)\b/

/** Returns true if Redis is available, and refused only the one command that failed. */
export function isRefusal(err: unknown): boolean {
  return isError(err) && err.name === 'ReplyError' && !OUTAGE.test(err.message)
}

export interface LinkDeps {
  /** ms that a command may take */
  timeout: number
  logger: FastifyBaseLogger
  /** pub/sub channel to subscribe to */
  channel: string
  onMessage: (message: string) => void
  /** Called when the link has subscribed to the channel. Earlier messages may have been lost. */
  onSubscribed: () => void
  /**
   * Repairs the store when Redis is back. Resolves to fields for the log. If the promise rejects, the store
   * stays unavailable until a later attempt resolves.
   */
  onReturn: () => Promise<object>
  /** Called when Redis is available again. */
  onReturned: () => void
}

/**
 * The two connections to Redis, for commands and for messages. The first command that fails marks Redis as
 * away, so that no other command waits for a reply. The link then tries again until Redis is back.
 */
export class Link {
  readonly #deps: LinkDeps
  readonly #commands: RedisConnection
  readonly #subscriber: RedisConnection
  #available = false
  #closed = false
  // Time at which Redis went away, ms of performance.now(); undefined before the first contact.
  #since?: number
  // The latest error of the connection, or of an attempt to return.
  #problem?: unknown
  // The reason for which Redis refused the subscription; undefined if Redis accepted it.
  #deaf?: string
  #retry?: NodeJS.Timeout
  #returning?: Promise<void>

  constructor(client: RedisClient, deps: LinkDeps) {
    this.#deps = deps
    this.#commands = connectLike(client, false)
    this.#subscriber = connectLike(client, true)
    this.#commands.on('error', (err) => {
      this.#problem = err
    })
    this.#subscriber.on('error', () => {})
    this.#commands.on('ready', () => {
      this.#tryAgain()
    })
    this.#subscriber.on('ready', () => {
      this.#subscribe()
    })
    this.#subscriber.on('message', (channel, message) => {
      if (channel === deps.channel) deps.onMessage(message)
    })
  }

  get available(): boolean {
    return this.#available
  }

  /** The present problem in words; undefined if there is none. */
  get problem(): string | undefined {
    if (this.#available) return this.#deaf
    const cause = isError(this.#problem) ? `: ${this.#problem.message}` : ''
    return `Redis is away${cause}`
  }

  /** Resolves when Redis is available, or after `timeout` ms. */
  async start(): Promise<void> {
    const tried = new Promise<void>((resolve) => this.#commands.on('ready', () => resolve(this.#tryAgain())))
    await inTime(tried, this.#deps.timeout).catch((err: unknown) => {
      this.#problem ??= err
    })
    if (!this.#available) this.#leave(this.#problem)
  }

  /**
   * Sends a command. Resolves to the reply of Redis. Rejects with Away if Redis is away or does not answer in
   * time. Rejects with the error of Redis if Redis refused the command.
   */
  async ask<T>(command: (commands: RedisCommands) => Promise<T>): Promise<T> {
    if (!this.#available) throw new Away('the store is away')
    try {
      return await this.try(command)
    } catch (err) {
      if (isRefusal(err)) throw err
      this.#leave(err)
      throw new Away('the store is away', { cause: err })
    }
  }

  /**
   * Sends a command even while Redis is away. If the command fails, Redis is not marked as away. For
   * `onReturn`.
   */
  try<T>(command: (commands: RedisCommands) => Promise<T>): Promise<T> {
    return inTime(command(this.#commands), this.#deps.timeout)
  }

  #leave(err: unknown): void {
    if (this.#closed || (!this.#available && this.#since !== undefined)) return
    this.#available = false
    this.#since = performance.now()
    this.#deps.logger.error(
      { err: this.#problem ?? err },
      'the store is away: this instance uses its own copies of calls, and writes them when the store returns'
    )
    this.#tryLater()
  }

  #tryLater(): void {
    if (this.#closed) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      this.#tryAgain()
    }, RETRY_INTERVAL).unref()
  }

  #tryAgain(): Promise<void> {
    if (this.#available || this.#closed) return Promise.resolve()
    this.#returning ??= this.#return().finally(() => {
      this.#returning = undefined
    })
    return this.#returning
  }

  async #return(): Promise<void> {
    const { onReturn, onReturned, logger } = this.#deps
    try {
      const done = await onReturn()
      if (this.#closed) return
      this.#available = true
      this.#problem = undefined
      if (this.#since !== undefined) {
        logger.info({ awayMs: Math.round(performance.now() - this.#since), ...done }, 'the store is back')
      }
      onReturned()
    } catch (err) {
      this.#problem = err
      // The connections may be dead, or lead to a server that is no longer the master, so they are replaced by new ones.
      if (err instanceof Late || (isError(err) && DEMOTED.test(err.message))) {
        this.#commands.disconnect(true)
        this.#subscriber.disconnect(true)
      }
      // While start() runs, #since is undefined, and start() plans the next attempt.
      if (this.#since !== undefined) this.#tryLater()
    }
  }

  async #subscribe(): Promise<void> {
    const { channel, logger, onSubscribed } = this.#deps
    try {
      await this.#subscriber.subscribe(channel)
      if (this.#deaf !== undefined) {
        logger.info({ channel }, 'the subscription to the Redis channel works now')
      }
      this.#deaf = undefined
      onSubscribed()
    } catch (err) {
      // If the connection broke, the next connection subscribes. Until then, each waiter reads its call every
      // second.
      if (!isError(err) || err.name !== 'ReplyError') return
      if (this.#deaf === undefined) {
        logger.error(
          { err, channel },
          'Redis refused the subscription, so a hook on this instance may wait up to a second longer for a listen of another instance. Grant the Redis user the channel, as in docs/stores.md'
        )
      }
      this.#deaf = `Redis refused SUBSCRIBE ${channel}: ${err.message}`
      this.#subscribeLater()
    }
  }

  #subscribeLater(): void {
    if (this.#closed) return
    setTimeout(() => {
      if (!this.#closed && this.#subscriber.status === 'ready') this.#subscribe()
    }, RESUBSCRIBE_INTERVAL).unref()
  }

  close(): void {
    this.#closed = true
    this.#available = false
    clearTimeout(this.#retry)
    this.#commands.disconnect()
    this.#subscriber.disconnect()
  }
}

/** Resolves like `promise`. Rejects with Late after `ms`. */
async function inTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    // If this process was busy, the answer may have arrived unread. Node reads the answer before it runs the
    // callback of setImmediate.
    timer = setTimeout(() => setImmediate(() => reject(new Late(`no answer within ${ms} ms`))), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
