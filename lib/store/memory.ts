import { Type } from '@sinclair/typebox'
import { applyWrite, newCall, type CallWrite, type KeptCall } from '../model/callWrite.js'
import { checkOptions } from '../model/checkOptions.js'
import type { StoredCall } from '../model/schema.js'
import {
  type CallStore,
  type Reached,
  type StoreContext,
  type StoreHealth,
  type Written,
  mayStillListen,
  newestFirst,
  streams
} from './CallStore.js'
import { Waiters } from './Waiters.js'

export interface MemoryStoreOptions {
  /**
   * maximum number of calls. When there are more, the store drops the oldest calls, beginning with calls that
   * neither have nor expect a socket. Default: 10,000
   */
  maxCalls?: number | undefined
}

const MemoryStoreOptionsSchema = Type.Object(
  { maxCalls: Type.Optional(Type.Union([Type.Integer({ minimum: 1 }), Type.Literal(Infinity)])) },
  { additionalProperties: false }
)

const DEFAULT_MAX_CALLS = 10_000
const SWEEPS_PER_TTL = 10
/** minimum ms between two warnings that calls were dropped whose sockets are open, or may still come */
const WARN_EVERY = 60_000

/**
 * Returns a store in the memory of this process. The number of calls and their age are limited. Throws
 * FST_JAMBONZ_OPTIONS for a wrong or unknown option.
 */
export function memoryStore(options: MemoryStoreOptions = {}): CallStore {
  checkOptions(MemoryStoreOptionsSchema, options, 'options of memoryStore()')
  return new MemoryStore(options.maxCalls ?? DEFAULT_MAX_CALLS)
}

/** A call in the store, with its neighbours in the chain of its rank. */
interface Entry {
  call: StoredCall
  final: readonly string[]
  readonly callSid: string
  /** time at which the call expires, whole ms of performance.now(): V8 would box a fraction */
  expires: number
  rank: Rank
  older: Entry | undefined
  newer: Entry | undefined
}

/**
 * The ranks of calls, in the order in which calls are dropped: without a socket, expecting a socket,
 * streaming.
 */
const RANKS = ['idle', 'expecting', 'streaming'] as const
type Rank = (typeof RANKS)[number]

function rankOf(call: StoredCall): Rank {
  if (streams(call)) return 'streaming'
  return mayStillListen(call) ? 'expecting' : 'idle'
}

/** Returns the entry if its call has not expired. A call that streams does not expire. */
function live(entry: Entry | undefined): Entry | undefined {
  const isLive = entry !== undefined && (entry.rank === 'streaming' || entry.expires > performance.now())
  return isLive ? entry : undefined
}

/** The calls of one rank, in the order of their last events. */
class Chain {
  oldest: Entry | undefined
  #newest: Entry | undefined

  /** Adds an entry that is in no chain, as the newest. */
  add(entry: Entry): void {
    entry.older = this.#newest
    entry.newer = undefined
    if (this.#newest === undefined) this.oldest = entry
    else this.#newest.newer = entry
    this.#newest = entry
  }

  remove({ older, newer }: Entry): void {
    if (older === undefined) this.oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
  }
}

class MemoryStore implements CallStore {
  readonly shared = false
  readonly #calls = new Map<string, Entry>()
  /**
   * The order in which a full store drops its calls. It is kept beside the Map, since a Map would pass all entries that
   * were deleted, and all calls of other ranks, to find the oldest one.
   */
  readonly #chains: Readonly<Record<Rank, Chain>> = {
    idle: new Chain(),
    expecting: new Chain(),
    streaming: new Chain()
  }
  readonly #waiters = new Waiters()
  readonly #maxCalls: number
  #context!: StoreContext
  #closed = false
  #warnedAt = -Infinity
  #sweeper?: NodeJS.Timeout

  constructor(maxCalls: number) {
    this.#maxCalls = maxCalls
  }

  async start(context: StoreContext): Promise<void> {
    this.#context = context
    this.#sweeper = setInterval(() => this.#sweep(), Math.max(context.callTtl / SWEEPS_PER_TTL, 10)).unref()
  }

  async get(callSid: string): Promise<StoredCall | undefined> {
    return live(this.#calls.get(callSid))?.call
  }

  async list(): Promise<StoredCall[]> {
    this.#sweep()
    return Array.from(this.#calls.values(), ({ call }) => call).sort(newestFirst)
  }

  async write(callSid: string, write: CallWrite): Promise<Written> {
    const found = this.#calls.get(callSid)
    const before = live(found)
    const { kept, applied } = applyWrite(callSid, before, write)
    if (kept === undefined) return { created: false, applied, kept: true, call: newCall(callSid) }
    if (kept !== before) this.#keep(callSid, kept, found)
    write.forEach(({ wakes }, at) => {
      if (applied[at]) wakes?.forEach((listenId) => this.#waiters.wake(callSid, listenId))
    })
    return { created: before === undefined, applied, kept: true, call: kept.call }
  }

  waitFor(
    callSid: string,
    listenId: string,
    reached: Reached,
    timeoutMs: number
  ): Promise<StoredCall | undefined> {
    return this.#waiters.until({
      callSid,
      listenId,
      timeoutMs,
      look: () => this.get(callSid),
      reached: (listen, known) => !known || reached(listen)
    })
  }

  tell(): void {
    // There are no other instances to tell.
  }

  health(): StoreHealth {
    return { available: !this.#closed, pending: 0, dropped: 0 }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    this.#waiters.close()
  }

  /** Keeps a call, of which `found` is the present entry. It becomes the newest call of its rank. */
  #keep(callSid: string, { call, final }: KeptCall, found: Entry | undefined): void {
    const { callTtl, expectedTtl = callTtl } = this.#context
    const rank = rankOf(call)
    const ttl = rank === 'expecting' ? Math.max(callTtl, expectedTtl) : callTtl
    const expires = Math.ceil(performance.now() + ttl)
    if (found === undefined) {
      const entry = { call, final, callSid, expires, rank, older: undefined, newer: undefined }
      this.#calls.set(callSid, entry)
      this.#chains[rank].add(entry)
      if (this.#calls.size > this.#maxCalls) this.#forgetOldest(entry)
      return
    }
    this.#chains[found.rank].remove(found)
    Object.assign(found, { call, final, expires, rank })
    this.#chains[rank].add(found)
  }

  #forget(entry: Entry): void {
    this.#calls.delete(entry.callSid)
    this.#chains[entry.rank].remove(entry)
  }

  /** Drops the oldest call of the first rank that has one, but never `newest`. */
  #forgetOldest(newest: Entry): void {
    for (const rank of RANKS) {
      const { oldest } = this.#chains[rank]
      const entry = oldest === newest ? newest.newer : oldest
      if (entry === undefined) continue
      this.#forget(entry)
      if (rank !== 'idle') this.#warn()
      return
    }
  }

  #warn(): void {
    const now = performance.now()
    if (now - this.#warnedAt < WARN_EVERY) return
    this.#warnedAt = now
    this.#context.logger.warn(
      { maxCalls: this.#maxCalls },
      'the memory store is full, so it drops calls whose listens stream or are about to begin: raise memoryStore({ maxCalls }), or use a Redis store'
    )
  }

  /** Drops calls that have expired. */
  #sweep(): void {
    for (const entry of this.#calls.values()) if (live(entry) === undefined) this.#forget(entry)
  }
}
