import type { RedisCommands } from './Link.js'
import { type Keys, listenName } from './keys.js'
import { BEAT, run } from './scripts.js'

const MICROS = 1_000

/** ms after which any new clock sample replaces the current sample, since clocks drift */
const MAX_AGE = 60_000
/** ms by which two clock samples may differ because of drift, in addition to their inaccuracy */
const MAX_DRIFT = 20

/**
 * µs to add to performance.now() to get the time of day. The sum is the clock of this process, which never
 * goes back.
 */
const OWN = performance.timeOrigin * MICROS

/**
 * The clock of Redis, in µs, which all instances share. A reply of Redis contains the time of Redis, to
 * within half the time that the reply took, so the quickest reply is the most exact. As long as the replies
 * do not contradict the clock of this process, the clock of this process is used, because clocks that are set
 * over the network agree more closely than replies can measure. If a reply contradicts the quickest reply,
 * the clock of Redis was set, or another server took over.
 */
export class Clock {
  #offset = OWN
  #took = Infinity
  #sampled = 0
  #last = 0

  /**
   * Adds a sample from the reply to a command. `micros`: the clock of Redis in the reply. `sent`: when the
   * command was sent, ms of performance.now().
   */
  heard(micros: number, sent: number): void {
    const now = performance.now()
    const took = now - sent
    const offset = micros - (now - took / 2) * MICROS
    const wasSet = Math.abs(offset - this.#offset) > ((took + this.#took) / 2 + MAX_DRIFT) * MICROS
    if (!wasSet && took > this.#took && now - this.#sampled < MAX_AGE) return
    this.#offset = Math.abs(offset - OWN) <= (took / 2) * MICROS ? OWN : offset
    this.#took = took
    this.#sampled = now
  }

  /** Returns the time in µs. Each returned time is later than the one before. */
  next(): number {
    this.#last = Math.max(this.#last + 1, Math.round(performance.now() * MICROS + this.#offset))
    return this.#last
  }

  /** Returns the time, ms since the epoch. */
  now(): number {
    return Math.round(performance.now() + this.#offset / MICROS)
  }
}

/** Number of heartbeats that an instance may miss before its listens are lost. */
export const MISSED_BEATS = 3
/** ms that a dead instance is remembered, since other instances may report late that it holds a listen */
const REMEMBERED = 60_000

export interface Beat {
  /** time of the heartbeat, ms, on the clock of Redis */
  now: number
  /**
   * time of this instance's last heartbeat in the store, ms, on the clock of Redis; undefined if the store
   * has none
   */
  known: number | undefined
  dead: string[]
}

interface Held {
  callSid: string
  listenId: string
}

/** The instances that share the store: their heartbeats, and the listens whose sockets they hold. */
export class Instances {
  readonly #keys: Keys
  readonly #clock: Clock
  readonly #name: string
  readonly #ttl: number
  readonly #held = new Map<string, Held>()
  readonly #doubted = new Set<string>()
  // Names of the held and of the released listens that are not in the store yet.
  readonly #unwritten = new Set<string>()
  readonly #released = new Set<string>()

  /** `interval`: ms between two heartbeats */
  constructor(keys: Keys, clock: Clock, name: string, interval: number) {
    this.#keys = keys
    this.#clock = clock
    this.#name = name
    this.#ttl = interval * MISSED_BEATS
  }

  /**
   * Writes a heartbeat. `returned`: true after this instance was cut off from Redis, since other instances
   * may have been cut off, too.
   */
  async beat(redis: RedisCommands, returned: boolean): Promise<Beat> {
    const args = [this.#name, String(this.#ttl), String(REMEMBERED), returned ? '1' : '0']
    const sent = performance.now()
    const [micros, expired, dead] = (await run(redis, BEAT, this.#keys.instances, args)) as [
      micros: string,
      expired: string,
      dead: string[]
    ]
    this.#clock.heard(Number(micros), sent)
    return {
      now: Number(micros) / 1_000,
      known: expired === '' ? undefined : Number(expired) - this.#ttl,
      dead
    }
  }

  /** The calls with sockets on this instance, each with the ids of the listens of these sockets. */
  get calls(): Map<string, string[]> {
    const calls = new Map<string, string[]>()
    for (const { callSid, listenId } of this.#held.values()) {
      calls.set(callSid, [...(calls.get(callSid) ?? []), listenId])
    }
    return calls
  }

  /** Adds a listen whose socket this instance holds. Returns false if the listen was added before. */
  hold(callSid: string, listenId: string): boolean {
    const name = listenName(callSid, listenId)
    if (this.#held.has(name)) return false
    this.#held.set(name, { callSid, listenId })
    this.#unwritten.add(name)
    this.#released.delete(name)
    return true
  }

  /** Marks a held listen that another instance may have ended. The next heartbeat checks the listen. */
  doubt(callSid: string, listenId: string): void {
    const name = listenName(callSid, listenId)
    if (this.#held.has(name)) this.#doubted.add(name)
  }

  /** Returns the held listens that `doubt()` has marked since this method was last called. */
  takeDoubted(): Held[] {
    const doubted = Array.from(this.#doubted, (name) => this.#held.get(name))
    this.#doubted.clear()
    return doubted.filter((held) => held !== undefined)
  }

  /**
   * Notes that this instance no longer holds a listen. The next heartbeat tells the store, which is soon
   * enough.
   */
  release(callSid: string, listenId: string): void {
    const name = listenName(callSid, listenId)
    if (!this.#held.delete(name)) return
    this.#unwritten.delete(name)
    this.#released.add(name)
  }

  async writeHeld(redis: RedisCommands, callSid: string, listenId: string): Promise<void> {
    const name = listenName(callSid, listenId)
    await redis.sadd(this.#keys.held(this.#name), name)
    this.#unwritten.delete(name)
  }

  /** Writes the held and released listens that are not in the store yet. */
  async writeChanges(redis: RedisCommands): Promise<void> {
    const [unwritten, released] = [[...this.#unwritten], [...this.#released]]
    const key = this.#keys.held(this.#name)
    await Promise.all([
      unwritten.length > 0 && redis.sadd(key, ...unwritten),
      released.length > 0 && redis.srem(key, ...released)
    ])
    for (const name of unwritten) this.#unwritten.delete(name)
    for (const name of released) this.#released.delete(name)
  }

  /** Marks all held listens as unwritten, since the store may have lost them. */
  forgotten(): void {
    for (const name of this.#held.keys()) this.#unwritten.add(name)
  }

  /**
   * Writes that another instance holds a listen, since the store may have lost the listen and the other
   * instance.
   */
  async remind(
    redis: RedisCommands,
    instance: string,
    callSid: string,
    listenId: string,
    now: number
  ): Promise<void> {
    await redis.sadd(this.#keys.held(instance), listenName(callSid, listenId))
    await redis.zadd(this.#keys.instances, 'NX', String(now + this.#ttl), instance)
  }

  /** Resolves to the names of the listens that an instance holds. */
  heldBy(redis: RedisCommands, instance: string): Promise<string[]> {
    return redis.smembers(this.#keys.held(instance))
  }

  async eraseHeld(redis: RedisCommands, instance: string, name: string): Promise<void> {
    await redis.srem(this.#keys.held(instance), name)
  }

  /**
   * Removes this instance from the store. If this instance still holds listens, the other instances end these
   * listens, as if this instance had died.
   */
  async leave(redis: RedisCommands): Promise<void> {
    await this.writeChanges(redis)
    if (this.#held.size > 0) await redis.zadd(this.#keys.instances, String(this.#clock.now() - 1), this.#name)
    else await redis.zrem(this.#keys.instances, this.#name)
  }
}
