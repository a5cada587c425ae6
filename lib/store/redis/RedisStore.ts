import { listenIn, type CallWrite, type ListenPatch } from '../../model/callWrite.js'
import type { StoredCall, StoredListen } from '../../model/schema.js'
import {
  type CallStore,
  type Reached,
  type StoreContext,
  type StoreHealth,
  type Written,
  newestFirst
} from '../CallStore.js'
import { Waiters } from '../Waiters.js'
import { CallIndex } from './CallIndex.js'
import { type RedisClient, Away, Link } from './Link.js'
import { Clock, Instances } from './Instances.js'
import { DamageLog, fieldsOf, guardOf, SEAL, type FieldPart } from './fields.js'
import { Keys, readMessage, toldMessage } from './keys.js'
import { LocalCalls } from './LocalCalls.js'
import { Upkeep } from './Upkeep.js'
import { writeCall } from './scripts.js'

export interface RedisStoreSettings {
  prefix: string
  /** ms that a command may take */
  timeout: number
  /** ms between two heartbeats */
  heartbeat: number
  maxLocalCalls: number
}

/** ms between two reads of a waiter, in case the message that wakes the waiter is lost */
const LOOK_INTERVAL = 1_000

/** The parts of a started store. */
export interface Parts {
  readonly context: StoreContext
  /** ms, see StoreContext.expectedTtl */
  readonly expectedTtl: number
  readonly settings: RedisStoreSettings
  readonly keys: Keys
  readonly clock: Clock
  readonly local: LocalCalls
  readonly damage: DamageLog
  readonly instances: Instances
  readonly index: CallIndex
  readonly link: Link
}

/**
 * The store in Redis. While Redis is away, changed calls are kept in this process, and written when Redis
 * returns.
 */
export class RedisStore implements CallStore {
  readonly shared = true
  readonly #client: RedisClient
  readonly #settings: RedisStoreSettings
  readonly #waiters = new Waiters()
  #parts!: Parts
  #upkeep!: Upkeep

  constructor(client: RedisClient, settings: RedisStoreSettings) {
    this.#client = client
    this.#settings = settings
  }

  async start(context: StoreContext): Promise<void> {
    const { prefix, timeout, heartbeat, maxLocalCalls } = this.#settings
    const { callTtl, expectedTtl = callTtl, instance, logger } = context
    const keys = new Keys(prefix, this.#client.options?.keyPrefix)
    const clock = new Clock()
    const damage = new DamageLog(logger)
    const longestTtl = Math.max(callTtl, expectedTtl)
    const link = new Link(this.#client, {
      timeout,
      logger,
      channel: keys.channel,
      onMessage: (message) => this.#heard(message),
      onSubscribed: () => this.#waiters.wakeAll(),
      onReturn: () => this.#upkeep.restore(),
      onReturned: () => this.#waiters.wakeAll()
    })
    this.#parts = {
      context,
      expectedTtl: longestTtl,
      settings: this.#settings,
      keys,
      link,
      clock,
      damage,
      local: new LocalCalls(maxLocalCalls, callTtl, (callSid, field) => damage.ofField(callSid, field)),
      instances: new Instances(keys, clock, instance, heartbeat),
      index: new CallIndex(keys, callTtl, longestTtl, damage)
    }
    this.#upkeep = new Upkeep(this.#parts)
    await link.start()
    this.#upkeep.start()
  }

  async get(callSid: string): Promise<StoredCall | undefined> {
    const { link, local, keys } = this.#parts
    try {
      const stored = Object.entries(await link.ask((redis) => redis.hgetall(keys.call(callSid))))
      return stored.length === 0 ? undefined : local.learn(callSid, stored, false)
    } catch (err) {
      this.#note(err, callSid)
      return local.get(callSid)
    }
  }

  async list(): Promise<StoredCall[]> {
    const { link, local, index } = this.#parts
    const calls = await index
      .list((command) => link.ask(command))
      .catch((err: unknown) => {
        this.#note(err)
        return local.list()
      })
    return calls.sort(newestFirst)
  }

  async write(callSid: string, write: CallWrite): Promise<Written> {
    const { clock, context, instances, link } = this.#parts
    const version = clock.next()
    const parts = write.map(({ guards = [], patch, final, wakes = [] }): FieldPart => ({
      guards: guards.map(guardOf),
      fields: fieldsOf(callSid, patch, version, final ? SEAL : 0),
      wakes
    }))
    // The listens that this instance claims are noted first. If this instance dies, the other instances must
    // find these listens.
    const isTaken = ({ instance, watcher }: ListenPatch): boolean =>
      instance === context.instance || watcher === context.instance
    const taken = listensOf(write, isTaken).filter(({ listenId }) => instances.hold(callSid, listenId))
    const noted = taken.map(({ listenId }) =>
      link
        .ask((redis) => instances.writeHeld(redis, callSid, listenId))
        .catch((err: unknown) => this.#note(err, callSid))
    )
    const written = await this.#write(callSid, parts)
    await Promise.all(noted)
    for (const { listenId, part } of taken) {
      if (!written.applied[part]) instances.release(callSid, listenId)
    }
    for (const { listenId, part } of listensOf(write, isReleased)) {
      const isOurs = isHeldBy(listenIn(written.call, listenId), context.instance)
      if (written.applied[part] || !isOurs) instances.release(callSid, listenId)
    }
    for (const [at, { wakes = [] }] of write.entries()) {
      if (written.applied[at]) for (const listenId of wakes) this.#waiters.wake(callSid, listenId)
    }
    return written
  }

  waitFor(
    callSid: string,
    listenId: string,
    reached: Reached,
    timeoutMs: number
  ): Promise<StoredCall | undefined> {
    const { link } = this.#parts
    // If Redis was away during this wait, an unknown call proves nothing, since another instance may have the
    // call and may not have written it yet.
    let isSure = true
    return this.#waiters.until({
      callSid,
      listenId,
      timeoutMs,
      lookEvery: LOOK_INTERVAL,
      look: () => this.get(callSid),
      reached: (listen, known) => {
        isSure &&= link.available
        return known ? reached(listen) : isSure
      }
    })
  }

  tell(message: unknown): void {
    const { link, keys, context } = this.#parts
    link
      .ask((redis) => redis.publish(keys.channel, toldMessage(context.instance, message)))
      .catch((err: unknown) => this.#note(err))
  }

  health(): StoreHealth {
    const { link, local } = this.#parts
    const { problem } = link
    return {
      available: problem === undefined,
      pending: local.pending,
      dropped: local.dropped,
      ...(problem !== undefined && { problem })
    }
  }

  async close(): Promise<void> {
    const { link, local, context } = this.#parts
    await this.#upkeep.stop()
    link.close()
    this.#waiters.close()
    if (local.pending > 0) {
      context.logger.error(
        { calls: local.pending },
        'the store did not return before the close: the pending writes are lost'
      )
    }
  }

  async #write(callSid: string, parts: readonly FieldPart[]): Promise<Written> {
    const { link, local, keys, clock, index, settings, context, expectedTtl } = this.#parts
    try {
      const options = { keys, clock, ttl: context.callTtl, expectedTtl, fresh: settings.timeout }
      const { applied, created, stored } = await link.ask((redis) =>
        writeCall(redis, callSid, parts, options)
      )
      if (created) {
        // The promise is not awaited, since Redis runs a later query of the index after this command.
        link
          .ask((redis) => index.add(redis, callSid, clock.now()))
          .catch((err: unknown) => this.#note(err, callSid))
      }
      const isWritten = applied.includes(true)
      return { applied, created, kept: true, call: local.learn(callSid, stored, isWritten) }
    } catch (err) {
      this.#note(err, callSid)
      return { ...local.change(callSid, parts), kept: false }
    }
  }

  #heard(text: string): void {
    const message = readMessage(text)
    if (message === undefined) this.#parts.damage.ofMessage(text)
    else if (message.type === 'wake') this.#woken(message.callSid, message.listenId)
    else if (message.from !== this.#parts.context.instance) this.#tell(message.told)
  }

  #woken(callSid: string, listenId: string): void {
    this.#waiters.wake(callSid, listenId)
    this.#parts.instances.doubt(callSid, listenId)
  }

  #tell(told: unknown): void {
    try {
      this.#parts.context.told?.(told)
    } catch (err) {
      this.#parts.context.logger.error({ err }, 'a message of another instance could not be handled')
    }
  }

  /** Logs the error of a command. Does not log Away, since Link has logged that Redis is away. */
  #note(err: unknown, callSid?: string): void {
    if (!(err instanceof Away)) {
      this.#parts.context.logger.error({ err, callSid }, 'Redis refused a command of the store')
    }
  }
}

interface ListenOfPart {
  listenId: string
  /** index of the part of the write that changes the listen */
  part: number
}

function listensOf(write: CallWrite, isMeant: (listen: ListenPatch) => boolean): ListenOfPart[] {
  return write.flatMap(({ patch }, part) =>
    (patch.listens ?? []).filter(isMeant).map(({ id }) => ({ listenId: id, part }))
  )
}

/** Returns true if the patch releases the listen, so that this instance no longer holds it. */
function isReleased({ instance, state, watcher }: ListenPatch): boolean {
  return state === 'ended' || watcher === null || (instance === null && watcher === undefined)
}

/** Returns true if the instance has the listen's socket, or watches the listen. */
function isHeldBy(listen: StoredListen | undefined, name: string): boolean {
  return listen?.instance === name || listen?.watcher === name
}
