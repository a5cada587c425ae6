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
/**
 * The share of all calls that is dropped together when the store is full. To drop calls one by one would be
 * slower, because a Map looks for its oldest entry from the beginning, and passes all deleted entries.
 */
const LOT = 1 / 32
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

/** A call, and what the store itself needs. */
interface Entry extends KeptCall {
  /** time at which the call expires, whole ms of performance.now(): V8 would box a fraction */
  readonly expires: number
  readonly rank: Rank
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

class MemoryStore implements CallStore {
  readonly shared = false
  /**
   * the calls of each rank, by callSid; the call with the oldest last event first. With all calls in one Map, a full
   * store would pass thousands of calls of another rank to find those that it drops.
   */
  readonly #calls: Readonly<Record<Rank, Map<string, Entry>>> = {
    idle: new Map(),
    expecting: new Map(),
    streaming: new Map()
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
    return live(this.#find(callSid))?.call
  }

  async list(): Promise<StoredCall[]> {
    this.#sweep()
    return RANKS.flatMap((rank) => Array.from(this.#calls[rank].values(), ({ call }) => call)).sort(
      newestFirst
    )
  }

  async write(callSid: string, write: CallWrite): Promise<Written> {
    const found = this.#find(callSid)
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

  #find(callSid: string): Entry | undefined {
    const { idle, expecting, streaming } = this.#calls
    return expecting.get(callSid) ?? streaming.get(callSid) ?? idle.get(callSid)
  }

  /** Keeps a call in place of `before`, its present entry. It becomes the newest call of its rank. */
  #keep(callSid: string, { call, final }: KeptCall, before: Entry | undefined): void {
    const { callTtl, expectedTtl = callTtl } = this.#context
    const rank = rankOf(call)
    const ttl = rank === 'expecting' ? Math.max(callTtl, expectedTtl) : callTtl
    const expires = Math.ceil(performance.now() + ttl)
    if (before !== undefined) this.#calls[before.rank].delete(callSid)
    this.#calls[rank].set(callSid, { call, final, expires, rank })
    if (this.#size > this.#maxCalls) this.#forget(callSid)
  }

  get #size(): number {
    const { idle, expecting, streaming } = this.#calls
    return idle.size + expecting.size + streaming.size
  }

  /** Drops calls, in the order of RANKS, until a LOT of the space is free. Never drops `newest`. */
  #forget(newest: string): void {
    let surplus = this.#size - this.#maxCalls + Math.floor(this.#maxCalls * LOT)
    for (const rank of RANKS) {
      for (const callSid of this.#calls[rank].keys()) {
        if (surplus <= 0) return
        if (callSid === newest) continue
        this.#calls[rank].delete(callSid)
        surplus--
        if (rank !== 'idle') this.#warn()
      }
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
    const now = performance.now()
    for (const calls of [this.#calls.idle, this.#calls.expecting]) {
      for (const [callSid, { expires }] of calls) if (expires <= now) calls.delete(callSid)
    }
  }
}
