import type { RedisCommands } from './client.js'
import type { Clock } from './Clock.js'
import type { Keys } from './keys.js'
import { listenName, parseListenName } from './keys.js'
import { BEAT, run } from './scripts.js'

/** Beats an instance may miss before its listens are lost. */
export const MISSED_BEATS = 3
/** ms that a dead instance is looked after: what it held may be told late, by others. */
const REMEMBERED = 60_000

export interface Beat {
  /** ms, on the clock of Redis */
  now: number
  /** ms, on that clock: the last beat of ours that the store knows of; undefined: none */
  known: number | undefined
  dead: string[]
}

/** The instances that share the store, by their heartbeats, and whose sockets they hold. */
export class Instances {
  readonly #keys: Keys
  readonly #clock: Clock
  readonly #name: string
  readonly #ttl: number
  readonly #held = new Map<string, { callSid: string, listenId: string }>()

  /** `interval`: ms between two beats */
  constructor (keys: Keys, clock: Clock, name: string, interval: number) {
    this.#keys = keys
    this.#clock = clock
    this.#name = name
    this.#ttl = interval * MISSED_BEATS
  }

  /** `returned`: this instance was cut off, and the others may have been. */
  async beat (redis: RedisCommands, returned: boolean): Promise<Beat> {
    const args = [this.#name, String(this.#ttl), String(REMEMBERED), returned ? '1' : '0']
    const sent = performance.now()
    const [micros, expired, dead] = await run(redis, BEAT, this.#keys.instances, args) as [micros: string, expired: string, dead: string[]]
    this.#clock.heard(Number(micros), sent)
    return { now: Number(micros) / 1_000, known: expired === '' ? undefined : Number(expired) - this.#ttl, dead }
  }

  /** The calls whose audio this instance holds. */
  get calls (): Set<string> {
    return new Set(Array.from(this.#held.values(), ({ callSid }) => callSid))
  }

  holds (callSid: string, listenId: string): boolean {
    return this.#held.has(listenName(callSid, listenId))
  }

  hold (callSid: string, listenId: string): void {
    this.#held.set(listenName(callSid, listenId), { callSid, listenId })
  }

  /** False when it was not held. */
  release (callSid: string, listenId: string): boolean {
    return this.#held.delete(listenName(callSid, listenId))
  }

  async writeHeld (redis: RedisCommands, callSid: string, listenId: string): Promise<void> {
    await redis.sadd(this.#keys.held(this.#name), listenName(callSid, listenId))
  }

  async eraseHeld (redis: RedisCommands, callSid: string, listenId: string, instance = this.#name): Promise<void> {
    await redis.srem(this.#keys.held(instance), listenName(callSid, listenId))
  }

  /** After the store was away, or has forgotten. */
  async writeAllHeld (redis: RedisCommands): Promise<void> {
    if (this.#held.size > 0) await redis.sadd(this.#keys.held(this.#name), ...this.#held.keys())
  }

  /** Makes the store know of a listen that another instance holds, and that it may have forgotten with it. */
  async remind (redis: RedisCommands, instance: string, callSid: string, listenId: string, now: number): Promise<void> {
    await redis.sadd(this.#keys.held(instance), listenName(callSid, listenId))
    await redis.zadd(this.#keys.instances, 'NX', String(now + this.#ttl), instance)
  }

  async heldBy (redis: RedisCommands, instance: string): Promise<Array<[callSid: string, listenId: string]>> {
    const names = await redis.smembers(this.#keys.held(instance))
    return names.map(parseListenName)
  }

  async leave (redis: RedisCommands): Promise<void> {
    await redis.zrem(this.#keys.instances, this.#name)
  }
}
