import type {
  CallStore,
  Claim,
  Concluded,
  Ended,
  Reached,
  Reopened,
  StoreContext,
  StoreHealth,
  Updated
} from '../CallStore.js'
import type { CallPatch } from '../../model/patch.js'
import { Endings } from '../Endings.js'
import { listenIn } from '../../model/patch.js'
import type { Call, Listen } from '../../model/schema.js'
import { CallIndex } from './CallIndex.js'
import type { RedisClient } from './client.js'
import { Clock } from './Clock.js'
import {
  changedListens,
  fieldsOf,
  IS_ENDED,
  IS_STREAMING,
  isOfCall,
  listenField,
  releasedListens,
  REMOVED,
  removedField,
  SEAL,
  type Field
} from './fields.js'
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

  constructor(client: RedisClient, settings: RedisStoreSettings) {
    this.#client = client
    this.#settings = settings
  }

  async start(context: StoreContext): Promise<void> {
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
      onReturn: () => this.#upkeep.restore(),
      onReturned: () => endings.signalAll()
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

  async get(callSid: string): Promise<Call | undefined> {
    const { link, local, keys } = this.#parts
    try {
      const stored = Object.entries(await link.ask((redis) => redis.hgetall(keys.call(callSid))))
      return stored.length === 0 ? undefined : local.learn(callSid, stored, false)
    } catch (err) {
      this.#note(err, callSid)
      return local.get(callSid)
    }
  }

  async list(): Promise<Call[]> {
    const { link, local, index } = this.#parts
    const calls = await index
      .list((command) => link.ask(command))
      .catch((err: unknown) => {
        this.#note(err)
        return local.list()
      })
    return calls.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
  }

  async update(callSid: string, patch: CallPatch): Promise<Updated> {
    const { created, call } = await this.#change(callSid, this.#fields(callSid, patch))
    return { created, call }
  }

  async end(callSid: string, patch: CallPatch): Promise<Ended> {
    const ending = { ...patch, call: { ...patch.call, endedAt: new Date().toISOString() } }
    const fields = this.#fields(callSid, ending, SEAL)
    const saysMore = patch.data !== undefined || patch.listens !== undefined
    const last = saysMore ? fields.filter(isOfCall) : fields
    const also = saysMore ? fields.filter((field) => !isOfCall(field)) : []
    const { applied, created, call } = await this.#change(
      callSid,
      last,
      [{ op: 'is', field: 'c:endedAt', json: REMOVED }],
      also
    )
    return { first: applied, created, call }
  }

  async claim(callSid: string, listenId: string): Promise<Claim> {
    const {
      instances,
      link,
      context: { instance }
    } = this.#parts
    // Before the claim: what is claimed must be found should this instance die.
    const held = !instances.hold(callSid, listenId)
    const noted = link
      .ask((redis) => instances.writeHeld(redis, callSid, listenId))
      .catch((err: unknown) => this.#note(err, callSid))
    const { applied, call } = await this.#change(
      callSid,
      this.#fields(callSid, { listens: [{ id: listenId, instance }] }),
      [
        { op: 'is', field: listenField(listenId, 'instance'), json: REMOVED },
        { op: 'not', field: listenField(listenId, 'state'), json: IS_ENDED }
      ]
    )
    await noted
    if (!applied && !held) instances.release(callSid, listenId)
    return { claimed: applied, call }
  }

  async reopen(callSid: string, listenId: string, fields: Partial<Omit<Listen, 'id'>>): Promise<Reopened> {
    const removed = removedField(listenId, 'instance', this.#parts.clock.next())
    const expected = this.#fields(callSid, { listens: [{ ...fields, id: listenId, state: 'expected' }] })
    const { applied, call } = await this.#change(
      callSid,
      [...expected, removed],
      [{ op: 'not', field: listenField(listenId, 'state'), json: IS_ENDED }]
    )
    return { reopened: applied, call }
  }

  async conclude({ callSid, id, instance }: Listen, fields: Partial<Omit<Listen, 'id'>>): Promise<Concluded> {
    const ended = this.#fields(callSid, { listens: [{ ...fields, id, state: 'ended' }] })
    const { applied, call } = await this.#change(callSid, ended, [
      {
        op: 'is',
        field: listenField(id, 'instance'),
        json: instance === undefined ? REMOVED : JSON.stringify(instance)
      },
      { op: 'not', field: listenField(id, 'state'), json: IS_STREAMING },
      { op: 'not', field: listenField(id, 'state'), json: IS_ENDED }
    ])
    return { concluded: applied, call }
  }

  async waitFor(
    callSid: string,
    listenId: string,
    reached: Reached,
    timeoutMs: number
  ): Promise<Call | undefined> {
    const { endings, link } = this.#parts
    const waiter = endings.waiter(callSid, listenId)
    const deadline = performance.now() + timeoutMs
    // Whoever knew the call while the store was away may yet have to tell.
    let isSure = true
    try {
      for (;;) {
        const call = await this.get(callSid)
        const left = deadline - performance.now()
        isSure &&= link.available
        const isReached = call === undefined ? isSure : reached(listenIn(call, listenId))
        if (isReached || left <= 0 || this.#closed) return call
        await waiter.wait(Math.min(left, LOOK_INTERVAL))
      }
    } finally {
      waiter.close()
    }
  }

  health(): StoreHealth {
    const { link, local } = this.#parts
    return { available: link.available, pending: local.pending, dropped: local.dropped }
  }

  async close(): Promise<void> {
    const { endings, link, local, context } = this.#parts
    this.#closed = true
    await this.#upkeep.stop()
    link.close()
    endings.signalAll()
    if (local.pending > 0) {
      context.logger.error(
        { calls: local.pending },
        'the store was away to the end: what waited to be written is lost'
      )
    }
  }

  #fields(callSid: string, patch: CallPatch, seal = 0): Field[] {
    return fieldsOf(callSid, patch, this.#parts.clock.next(), seal)
  }

  async #change(
    callSid: string,
    fields: readonly Field[],
    guards: readonly Guard[] = [],
    also: readonly Field[] = []
  ): Promise<Outcome> {
    const { endings, instances } = this.#parts
    const outcome = await this.#write(callSid, { fields, guards, also })
    const written = outcome.applied ? [...fields, ...also] : also
    for (const listenId of releasedListens(written)) instances.release(callSid, listenId)
    for (const listenId of changedListens(written)) endings.signal(callSid, listenId)
    return outcome
  }

  async #write(callSid: string, change: Change): Promise<Outcome> {
    const { link, local, keys, clock, index, settings, context } = this.#parts
    try {
      const options = { keys, clock, ttl: context.callTtl, fresh: settings.timeout }
      const { applied, created, stored } = await link.ask((redis) =>
        writeCall(redis, callSid, change, options)
      )
      if (created) {
        await link
          .ask((redis) => index.add(redis, callSid, clock.now()))
          .catch((err: unknown) => this.#note(err, callSid))
      }
      return { applied, created, call: local.learn(callSid, stored, true) }
    } catch (err) {
      this.#note(err, callSid)
      return local.change(callSid, change)
    }
  }

  /** That the store is away was said when it went. */
  #note(err: unknown, callSid?: string): void {
    if (!(err instanceof Away)) {
      this.#parts.context.logger.error({ err, callSid }, 'Redis refused a command of the store')
    }
  }
}
