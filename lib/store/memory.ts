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
} from './CallStore.js'
import type { CallPatch } from '../model/patch.js'
import { Endings } from './Endings.js'
import { applyPatch, hasEnded, isClaimed, listenIn, newCall, reopenListen } from '../model/patch.js'
import type { Call, Listen } from '../model/schema.js'

export interface MemoryStoreOptions {
  /** the oldest calls are forgotten beyond this number; default 10,000 */
  maxCalls?: number
}

const DEFAULT_MAX_CALLS = 10_000
const SWEEPS_PER_TTL = 10
/** Calls are forgotten in lots of this share of all: to look for one at a time costs as much as to write it. */
const LOT = 1 / 128

/** The calls of one process. Bounded in number and time; gone when the process is. */
export function memoryStore({ maxCalls = DEFAULT_MAX_CALLS }: MemoryStoreOptions = {}): CallStore {
  return new MemoryStore(maxCalls)
}

interface Entry {
  call: Call
  /** what its end has said of it: the last word */
  sealed?: CallPatch['call']
  /** ms since the epoch */
  expires: number
  /** since it was last asked whether it may be forgotten */
  written: boolean
}

class MemoryStore implements CallStore {
  // The first are the ones to forget.
  readonly #entries = new Map<string, Entry>()
  readonly #endings = new Endings()
  readonly #maxCalls: number
  #context!: StoreContext
  #sweeper?: NodeJS.Timeout
  #closed = false

  constructor(maxCalls: number) {
    this.#maxCalls = Math.max(1, maxCalls)
  }

  async start(context: StoreContext): Promise<void> {
    this.#context = context
    this.#sweeper = setInterval(() => this.#sweep(), Math.max(context.callTtl / SWEEPS_PER_TTL, 10)).unref()
  }

  async get(callSid: string): Promise<Call | undefined> {
    return this.#live(callSid)
  }

  async list(): Promise<Call[]> {
    this.#sweep()
    return Array.from(this.#entries.values(), ({ call }) => call).sort((a, b) =>
      a.createdAt < b.createdAt ? 1 : -1
    )
  }

  async update(callSid: string, patch: CallPatch): Promise<Updated> {
    const created = this.#live(callSid) === undefined
    return { created, call: this.#write(callSid, patch) }
  }

  async end(callSid: string, patch: CallPatch): Promise<Ended> {
    const before = this.#live(callSid)
    if (before?.endedAt !== undefined) {
      const { call, ...rest } = patch
      return {
        first: false,
        created: false,
        call: rest.data || rest.listens ? this.#write(callSid, rest) : before
      }
    }
    const last = { ...patch.call, endedAt: new Date().toISOString() }
    const call = this.#write(callSid, { ...patch, call: last })
    const entry = this.#entries.get(callSid)
    if (entry) entry.sealed = Object.fromEntries(Object.entries(call).filter(([name]) => name in last))
    return { first: true, created: before === undefined, call }
  }

  async claim(callSid: string, listenId: string): Promise<Claim> {
    const call = this.#live(callSid)
    if (call && isClaimed(call, listenId)) return { claimed: false, call }
    return {
      claimed: true,
      call: this.#write(callSid, { listens: [{ id: listenId, instance: this.#context.instance }] })
    }
  }

  async reopen(callSid: string, listenId: string, fields: Partial<Omit<Listen, 'id'>>): Promise<Reopened> {
    const before = this.#live(callSid)
    if (before && hasEnded(before, listenId)) return { reopened: false, call: before }
    const call = this.#keep(
      callSid,
      reopenListen(this.#write(callSid, { listens: [{ ...fields, id: listenId }] }), listenId)
    )
    this.#endings.signal(callSid, listenId)
    return { reopened: true, call }
  }

  async conclude(listen: Listen, fields: Partial<Omit<Listen, 'id'>>): Promise<Concluded> {
    const { callSid, id, instance } = listen
    const before = this.#live(callSid)
    const now = listenIn(before, id)
    if (before && now && (now.state !== 'expected' || now.instance !== instance)) {
      return { concluded: false, call: before }
    }
    return { concluded: true, call: this.#write(callSid, { listens: [{ ...fields, id, state: 'ended' }] }) }
  }

  async waitFor(
    callSid: string,
    listenId: string,
    reached: Reached,
    timeoutMs: number
  ): Promise<Call | undefined> {
    const deadline = performance.now() + timeoutMs
    const waiter = this.#endings.waiter(callSid, listenId)
    try {
      for (;;) {
        const call = this.#live(callSid)
        const left = deadline - performance.now()
        if (call === undefined || reached(listenIn(call, listenId)) || left <= 0 || this.#closed) return call
        await waiter.wait(left)
      }
    } finally {
      waiter.close()
    }
  }

  health(): StoreHealth {
    return { available: true, pending: 0, dropped: 0 }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    this.#endings.signalAll()
  }

  #live(callSid: string): Call | undefined {
    const entry = this.#entries.get(callSid)
    return entry !== undefined && (entry.expires > Date.now() || streams(entry.call)) ? entry.call : undefined
  }

  #write(callSid: string, patch: CallPatch): Call {
    const now = new Date().toISOString()
    const before = this.#live(callSid)
    if (before === undefined) this.#entries.delete(callSid)
    const sealed = this.#entries.get(callSid)?.sealed
    const all = sealed === undefined ? patch : { ...patch, call: { ...patch.call, ...sealed } }
    const call = this.#keep(callSid, applyPatch(before ?? newCall(callSid, now), all, now))
    for (const { id } of patch.listens ?? []) this.#endings.signal(callSid, id)
    return call
  }

  #keep(callSid: string, call: Call): Call {
    const expires = Date.now() + this.#context.callTtl
    const entry = this.#entries.get(callSid)
    if (entry === undefined) {
      this.#entries.set(callSid, { call, expires, written: false })
      if (this.#entries.size > this.#maxCalls) this.#forgetOldest(callSid)
    } else {
      entry.call = call
      entry.expires = expires
      entry.written = true
    }
    return call
  }

  /** Those whose last event is longest ago, nearly; one that streams only where all do; never the newest. */
  #forgetOldest(newest: string): void {
    const enough = this.#maxCalls - Math.floor(this.#maxCalls * LOT)
    let chances = this.#entries.size
    for (const [callSid, entry] of this.#entries) {
      if (this.#entries.size <= enough) return
      this.#entries.delete(callSid)
      const spared = chances-- > 0 && (entry.written || streams(entry.call))
      if (!spared && callSid !== newest) continue
      entry.written = false
      this.#entries.set(callSid, entry)
    }
  }

  #sweep(): void {
    const now = Date.now()
    for (const [callSid, { call, expires }] of this.#entries) {
      if (expires <= now && !streams(call)) this.#entries.delete(callSid)
    }
  }
}

/** The audio of a long listen is no event of its call, and yet it lives. */
function streams(call: Call): boolean {
  return call.listens.some(({ state }) => state === 'streaming')
}
