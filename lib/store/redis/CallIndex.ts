import type { StoredCall } from '../../model/schema.js'
import { type RedisCommands, isRefusal } from './Link.js'
import { type DamageLog, callOf } from './fields.js'
import type { Keys } from './keys.js'

/** maximum number of calls in a list, which then has only the latest calls, and in one search for expired calls */
const MAX_LISTED = 10_000
/** number of commands that are sent at once */
const BATCH = 100
/** ms between two searches for expired calls, unless a search finds as many as it can */
const PRUNE_INTERVAL = 60_000
/** ms that the index is kept after the last call in it may have expired, if no instance is left to prune it */
const SPARE = 60_000

type Ask = <T>(command: (redis: RedisCommands) => Promise<T>) => Promise<T>

/**
 * The index of all calls, a sorted set in Redis. It exists because Redis can't cheaply list the keys with one
 * prefix.
 */
export class CallIndex {
  readonly #keys: Keys
  readonly #ttl: number
  readonly #longestTtl: number
  readonly #damage: DamageLog
  #nextPrune = 0

  /** `ttl`: ms that a call is kept; `longestTtl`: ms that it is kept at most, unless an instance renews it */
  constructor(keys: Keys, ttl: number, longestTtl: number, damage: DamageLog) {
    this.#keys = keys
    this.#ttl = ttl
    this.#longestTtl = longestTtl
    this.#damage = damage
  }

  async add(redis: RedisCommands, callSid: string, now: number): Promise<void> {
    await redis.zadd(this.#keys.calls, 'NX', String(now + this.#ttl), callSid)
  }

  /** Resolves to the calls. Leaves out a call that can't be read. */
  async list(ask: Ask): Promise<StoredCall[]> {
    const callSids = await ask((redis) => redis.zrevrange(this.#keys.calls, 0, MAX_LISTED - 1))
    const calls: StoredCall[] = []
    await inBatches(callSids, async (callSid) => {
      const fields = Object.entries(await this.#read(ask, callSid))
      if (fields.length === 0) return
      calls.push(callOf(callSid, new Map(fields), (field) => this.#damage.ofField(callSid, field)))
    })
    return calls
  }

  async #read(ask: Ask, callSid: string): Promise<Record<string, string>> {
    try {
      return await ask((redis) => redis.hgetall(this.#keys.call(callSid)))
    } catch (err) {
      if (!isRefusal(err)) throw err
      this.#damage.ofCall(callSid, err)
      return {}
    }
  }

  /**
   * Renews the expiry of the index, and removes expired calls from it, at most once in PRUNE_INTERVAL. Called with each
   * heartbeat.
   */
  async prune(ask: Ask, now: number): Promise<void> {
    await ask((redis) => redis.pexpire(this.#keys.calls, Math.ceil(this.#longestTtl) + SPARE))
    if (performance.now() < this.#nextPrune) return
    this.#nextPrune = performance.now() + PRUNE_INTERVAL
    const due = await ask((redis) =>
      redis.zrangebyscore(this.#keys.calls, '-inf', String(now), 'LIMIT', 0, MAX_LISTED)
    )
    const expired: string[] = []
    const alive: string[] = []
    await inBatches(due, async (callSid) => {
      const ttl = Number(await ask((redis) => redis.pttl(this.#keys.call(callSid))))
      if (ttl < 0) expired.push(callSid)
      else alive.push(String(now + ttl), callSid)
    })
    if (expired.length > 0) await ask((redis) => redis.zrem(this.#keys.calls, ...expired))
    if (alive.length > 0) await ask((redis) => redis.zadd(this.#keys.calls, ...alive))
    // More calls may have expired. With one search a minute, the index of a busy application would only grow.
    if (due.length === MAX_LISTED) this.#nextPrune = 0
  }
}

export async function inBatches<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += BATCH) await Promise.all(items.slice(at, at + BATCH).map(run))
}
