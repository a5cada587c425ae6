import type { CallPatch, CallStore, Claim, Ended, Reopened, StoreContext, StoreHealth, Updated } from '../CallStore.js'
import { Endings } from '../Endings.js'
import { isSettled } from '../patch.js'
import type { Call, Listen } from '../schema.js'
import { CallIndex } from './CallIndex.js'
import type { RedisClient } from './client.js'
import { Clock } from './Clock.js'
import { fieldsOf, IS_ENDED, listenField, REMOVED, removedField, settledListens, type Field } from './fields.js'
import { Instances } from './Instances.js'
import { Keys, parseListenName } from './keys.js'
import { Away, Link } from './Link.js'
import { LocalCalls, type Change, type Guard, type Outcome } from './LocalCalls.js'
import { Upkeep } from './Upkeep.js'
import { writeCall } from './writeCall.js'

export interface RedisStoreSettings {
  prefix: string
  /** ms */
  timeout: number
  /** ms */
  heartbeat: number
  maxLocalCalls: number
}

/** ms between two looks of somebody who waits, should the message get lost */
const LOOK_INTERVAL = 1_000

/** What a started store is made of. */
export interface Parts {
  readonly context: StoreContext
  readonly settings: RedisStoreSettings
  readonly keys: Keys
  readonly clock: Clock
  readonly local: LocalCalls
  readonly endings: Endings
  readonly instances: Instances
  readonly index: CallIndex
  readonly link: Link
}

/** Calls in Redis; while that is away, in this process, to be written when it returns. */
export class RedisStore implements CallStore {
  readonly #client: RedisClient
  readonly #settings: RedisStoreSettings
  #parts!: Parts
  #upkeep!: Upkeep
  #closed = false

  constructor (client: RedisClient, settings: RedisStoreSettings) {
    this.#client = client
    this.#settings = settings
  }

  async start (context: StoreContext): Promise<void> {
    const { prefix, timeout, heartbeat, maxLocalCalls } = this.#settings
    const keys = new Keys(prefix)
    const clock = new Clock()
    const endings = new Endings()
    const link = new Link(this.#client, {
      timeout,
      logger: context.logger,
      channel: keys.ended,
      onMessage: (message) => endings.signal(...parseListenName(message)),
      onSubscribed: () => endings.signalAll(),
      onReturn: () => this.#upkeep.restore()
    })
    this.#parts = {
      context,
      settings: this.#settings,
      keys,
      endings,
      link,
      clock,
      local: new LocalCalls(maxLocalCalls, context.callTtl),
      instances: new Instances(keys, clock, context.instance, heartbeat),
      index: new CallIndex(keys, context.callTtl)
    }
    this.#upkeep = new Upkeep(this.#parts)
    await link.start()
    this.#upkeep.start()
  }

  async get (callSid: string): Promise<Call | undefined> {
    const { link, local, keys } = this.#parts
    try {
      const stored = Object.entries(await link.ask((redis) => redis.hgetall(keys.call(callSid))))
      return stored.length === 0 ? undefined : local.learn(callSid, stored, false)
    } catch (err) {
      this.#note(err, callSid)
      return local.get(callSid)
    }
  }

  async list (): Promise<Call[]> {
    const { link, local, index } = this.#parts
    const calls = await index.list((command) => link.ask(command)).catch((err: unknown) => {
      this.#note(err)
      return local.list()
    })
    return calls.sort((a, b) => a.createdAt < b.createdAt ? 1 : -1)
  }

  async update (callSid: string, patch: CallPatch): Promise<Updated> {
    const { created, call } = await this.#change(callSid, patch)
    return { created, call }
  }

  async end (callSid: string, patch: CallPatch): Promise<Ended> {
    const ending = { ...patch, call: { ...patch.call, endedAt: new Date().toISOString() } }
    const { applied, call } = await this.#change(callSid, ending, [{ op: 'is', field: 'c:endedAt', json: REMOVED }])
    return { first: applied, call }
  }

  async claim (callSid: string, listenId: string): Promise<Claim> {
    const { instances, link, context: { instance } } = this.#parts
    const held = instances.holds(callSid, listenId)
    // Before the claim: what is claimed must be found should this instance die.
    const noted = link.ask((redis) => instances.writeHeld(redis, callSid, listenId)).catch(() => {})
    const { applied, call } = await this.#change(callSid, { listens: { [listenId]: { instance } } }, [
      { op: 'is', field: listenField(listenId, 'instance'), json: REMOVED },
      { op: 'not', field: listenField(listenId, 'state'), json: IS_ENDED }
    ])
    await noted
    if (applied) instances.hold(callSid, listenId)
    else if (!held) this.#erase(callSid, listenId)
    return { claimed: applied, call }
  }

  async reopen (callSid: string, listenId: string, fields: Partial<Omit<Listen, 'id'>>): Promise<Reopened> {
    const removed = removedField(listenId, 'instance', this.#parts.clock.next())
    const { applied, call } = await this.#change(callSid, { listens: { [listenId]: { ...fields, state: 'expected' } } }, [
      { op: 'not', field: listenField(listenId, 'state'), json: IS_ENDED }
    ], [removed])
    return { reopened: applied, call }
  }

  async ended (callSid: string, listenId: string, timeoutMs: number): Promise<Call | undefined> {
    const { endings, link } = this.#parts
    const waiter = endings.waiter(callSid, listenId)
    const deadline = Date.now() + timeoutMs
    try {
      for (;;) {
        const call = await this.get(callSid)
        const left = deadline - Date.now()
        const settled = call === undefined ? link.available : isSettled(call, listenId)
        if (settled || left <= 0 || this.#closed) return call
        await waiter.wait(Math.min(left, LOOK_INTERVAL))
      }
    } finally {
      waiter.close()
    }
  }

  health (): StoreHealth {
    const { link, local } = this.#parts
    return { available: link.available, pending: local.pending, dropped: local.dropped }
  }

  async close (): Promise<void> {
    const { endings, link, local, context } = this.#parts
    this.#closed = true
    await this.#upkeep.stop()
    link.close()
    endings.signalAll()
    if (local.pending > 0) context.logger.error({ calls: local.pending }, 'the store was away to the end: what waited to be written is lost')
  }

  async #change (callSid: string, patch: CallPatch, guards: Guard[] = [], more: Field[] = []): Promise<Outcome> {
    const { clock, endings, instances } = this.#parts
    const change = { fields: [...fieldsOf(callSid, patch, clock.next()), ...more], guards }
    const outcome = await this.#write(callSid, change)
    if (outcome.applied) {
      for (const listenId of settledListens(change.fields)) {
        endings.signal(callSid, listenId)
        if (instances.release(callSid, listenId)) this.#erase(callSid, listenId)
      }
    }
    return outcome
  }

  async #write (callSid: string, change: Change): Promise<Outcome> {
    const { link, local, keys, clock, index, settings, context } = this.#parts
    try {
      const options = { keys, clock, ttl: context.callTtl, fresh: settings.timeout }
      const { applied, created, stored } = await link.ask((redis) => writeCall(redis, callSid, change, options))
      if (created) await link.ask((redis) => index.add(redis, callSid, clock.now())).catch((err: unknown) => this.#note(err, callSid))
      return { applied, created, call: local.learn(callSid, stored, true) }
    } catch (err) {
      this.#note(err, callSid)
      return local.change(callSid, change)
    }
  }

  #erase (callSid: string, listenId: string): void {
    const { link, instances } = this.#parts
    link.ask((redis) => instances.eraseHeld(redis, callSid, listenId)).catch((err: unknown) => this.#note(err, callSid))
  }

  /** That the store is away was said when it went. */
  #note (err: unknown, callSid?: string): void {
    if (!(err instanceof Away)) this.#parts.context.logger.error({ err, callSid }, 'Redis refused a command of the store')
  }
}
