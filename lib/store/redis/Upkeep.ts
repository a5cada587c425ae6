import { listenIn } from '../../model/callWrite.js'
import type { Listen, StoredCall } from '../../model/schema.js'
import { mayStillListen, streams } from '../CallStore.js'
import { inBatches } from './CallIndex.js'
import { listenOfField, type Field } from './fields.js'
import type { Beat } from './Instances.js'
import { Away, isRefusal } from './Link.js'
import { parseListenName } from './keys.js'
import type { Parts } from './RedisStore.js'
import { writeCall, type ScriptResult } from './scripts.js'

/**
 * When Redis has lost data, this instance repeats its writes from this many ms before its last heartbeat in
 * Redis.
 */
const DOUBT = 5_000
/** Number of times per `callTtl` that the expiry of a call with audio is renewed. */
const KEEPS_PER_TTL = 3

/**
 * The background work of the store: it writes heartbeats, ends listens of dead instances, and repairs the
 * store after an outage.
 */
export class Upkeep {
  readonly #parts: Parts
  #timer?: NodeJS.Timeout
  #running?: Promise<void>
  #kept = performance.now()
  // The last heartbeat of this instance, ms on the clock of Redis; undefined before the first heartbeat.
  #lastBeat?: number

  constructor(parts: Parts) {
    this.#parts = parts
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running ??= this.#turn().finally(() => {
        this.#running = undefined
      })
    }, this.#parts.settings.heartbeat).unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#running
    const { link, instances } = this.#parts
    try {
      if (this.#parts.local.pending > 0) await this.#tellWaiting()
      await link.try((redis) => instances.leave(redis))
    } catch {
      // This failure is ignored, since the other instances notice the missing heartbeats.
    }
  }

  async #turn(): Promise<void> {
    const { link, local, index, instances, clock, context } = this.#parts
    local.forgetExpired()
    try {
      const { dead } = this.#noteBeat(await link.ask((redis) => instances.beat(redis, false)))
      await this.#releaseWhatIsOver()
      await link.ask((redis) => instances.writeChanges(redis))
      for (const instance of dead) context.died?.(instance)
      for (const instance of dead) await this.#bury(instance)
      if (local.pending > 0) await this.#tellWaiting()
      await this.#keepAlive()
      await index.prune((command) => link.ask(command), clock.now())
    } catch (err) {
      if (!(err instanceof Away)) context.logger.error({ err }, 'Redis refused a command of the store')
    }
  }

  #noteBeat(beat: Beat): Beat {
    this.#lastBeat = beat.now
    return beat
  }

  /**
   * Repairs the store after an outage. Writes the changes that this instance knows and that the store has
   * missed or lost. Resolves to the numbers of these changes, for the log.
   */
  async restore(): Promise<object> {
    const { link, local, instances } = this.#parts
    const before = this.#lastBeat
    const { known } = this.#noteBeat(await link.try((redis) => instances.beat(redis, before !== undefined)))
    const restored = before === undefined ? 0 : await this.#remindOfAll(known)
    instances.forgotten()
    await link.try((redis) => instances.writeChanges(redis))
    const written = await this.#tellWaiting()
    return { written, restored, dropped: local.dropped }
  }

  /**
   * Writes the calls again that Redis may have lost, since Redis may be empty or restored from an older
   * state. `known`: time of this instance's last heartbeat in Redis. Resolves to the number of calls.
   */
  async #remindOfAll(known: number | undefined): Promise<number> {
    const { local, clock, link, index, instances } = this.#parts
    const since = known === undefined ? 0 : known - DOUBT - (clock.now() - performance.now())
    const calls = local.touchedSince(since)
    await inBatches(calls, async ({ callSid, fields }) => {
      const ttl = local.remaining(callSid)
      if (ttl <= 0) return
      await this.#tell(callSid, fields, ttl)
      for (const { id, instance, watcher, state } of local.get(callSid)?.listens ?? []) {
        if (state === 'ended') continue
        for (const holder of [instance, watcher]) {
          if (holder === undefined) continue
          await link.try((redis) => instances.remind(redis, holder, callSid, id, clock.now()))
        }
      }
      await link.try((redis) => index.add(redis, callSid, clock.now()))
    })
    return calls.length
  }

  async #tellWaiting(): Promise<number> {
    const { local, link, index, clock, context } = this.#parts
    let written = 0
    for (let waiting = local.waiting(); waiting.length > 0; waiting = local.waiting()) {
      await inBatches(waiting, async ({ callSid, fields }) => {
        const { created } = await this.#tell(callSid, fields, context.callTtl)
        if (created) await link.try((redis) => index.add(redis, callSid, clock.now()))
        written++
      })
    }
    return written
  }

  /**
   * Writes fields of a call. If Redis refuses the fields, they are dropped, since Redis would refuse them
   * again.
   */
  async #tell(callSid: string, fields: Field[], ttl: number): Promise<Pick<ScriptResult, 'created'>> {
    const {
      link,
      local,
      keys,
      clock,
      expectedTtl,
      context: { callTtl, logger }
    } = this.#parts
    try {
      const written = await link.try((redis) =>
        writeCall(redis, callSid, [{ fields, guards: [], wakes: wakesOf(fields) }], {
          keys,
          clock,
          ttl,
          expectedTtl: Math.max(ttl, ttl === callTtl ? expectedTtl : 0),
          fresh: 0
        })
      )
      local.settle(callSid, fields)
      local.learn(callSid, written.stored, false)
      return written
    } catch (err) {
      if (!isRefusal(err)) throw err
      logger.error({ err, callSid }, 'Redis refused the pending writes of a call')
      local.settle(callSid, fields)
      return { created: false }
    }
  }

  /**
   * Ends the listens of a dead instance. Even if several instances call this method at once, each listen is
   * ended only once.
   */
  async #bury(instance: string): Promise<void> {
    const { link, instances, context, damage } = this.#parts
    const held = await link.ask((redis) => instances.heldBy(redis, instance))
    await inBatches(held, async (name) => {
      const [callSid, listenId] = parseListenName(name) ?? []
      if (callSid === undefined || listenId === undefined) damage.ofHeld(name)
      else await context.lost?.({ callSid, listenId, instance })
      await link.ask((redis) => instances.eraseHeld(redis, instance, name))
    })
  }

  /** Releases the listens of this instance that another instance has ended. */
  async #releaseWhatIsOver(): Promise<void> {
    const { instances } = this.#parts
    await inBatches(instances.takeDoubted(), async ({ callSid, listenId }) => {
      const call = await this.#readHeld(callSid)
      if (call === undefined || isOver(listenIn(call, listenId))) instances.release(callSid, listenId)
    })
  }

  /**
   * Resolves to a call with a socket on this instance. If Redis no longer has the call, writes the call again
   * if it streams here, and resolves to undefined if it does not.
   */
  async #readHeld(callSid: string): Promise<StoredCall | undefined> {
    const {
      link,
      local,
      keys,
      index,
      clock,
      context: { callTtl }
    } = this.#parts
    const stored = Object.entries(await link.ask((redis) => redis.hgetall(keys.call(callSid))))
    if (stored.length > 0) return local.learn(callSid, stored, true)
    const call = local.get(callSid)
    if (call === undefined || !streams(call)) return undefined
    // Even without fields, this renews the local copy, so that the copy is not dropped.
    local.learn(callSid, [], true)
    await this.#tell(callSid, local.fieldsOf(callSid), callTtl)
    await link.ask((redis) => index.add(redis, callSid, clock.now()))
    return call
  }

  /** Renews the expiry of calls with audio, since the audio of a long listen writes nothing to the store. */
  async #keepAlive(): Promise<void> {
    const {
      link,
      keys,
      instances,
      expectedTtl,
      context: { callTtl }
    } = this.#parts
    if (performance.now() - this.#kept < callTtl / KEEPS_PER_TTL) return
    this.#kept = performance.now()
    await inBatches([...instances.calls], async ([callSid, listenIds]) => {
      const call = await this.#readHeld(callSid)
      if (call === undefined) return
      const over = listenIds.filter((listenId) => isOver(listenIn(call, listenId)))
      for (const listenId of over) instances.release(callSid, listenId)
      if (over.length < listenIds.length) {
        const ttl = mayStillListen(call) ? expectedTtl : callTtl
        await link.ask((redis) => redis.pexpire(keys.call(callSid), ttl))
      }
    })
  }
}

/**
 * Returns true if a listen has ended. Returns false for a `lost` listen, since its audio may still stream on
 * this instance after other instances declared it lost.
 */
function isOver(listen: Listen | undefined): boolean {
  return listen?.state === 'ended' && listen.endReason !== 'lost'
}

/** Returns the ids of the listens to which the fields belong. The waiters of these listens must be woken. */
function wakesOf(fields: readonly Field[]): string[] {
  return [...new Set(fields.map(listenOfField).filter((listenId) => listenId !== undefined))]
}
