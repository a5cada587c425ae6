import type { CallPatch, CallStore, Claim, Ended, Reopened, StoreContext, StoreHealth, Updated } from './CallStore.js'
import { Endings } from './Endings.js'
import { applyPatch, asJson, hasEnded, isClaimed, isSettled, newCall, reopenListen } from './patch.js'
import type { Call, Listen } from './schema.js'

export interface MemoryStoreOptions {
  /** the oldest calls are forgotten beyond this number; default 10,000 */
  maxCalls?: number
}

const DEFAULT_MAX_CALLS = 10_000
const SWEEPS_PER_TTL = 10

/** The calls of one process. Bounded in number and time; gone when the process is. */
export function memoryStore ({ maxCalls = DEFAULT_MAX_CALLS }: MemoryStoreOptions = {}): CallStore {
  return new MemoryStore(maxCalls)
}

interface Entry {
  call: Call
  /** ms since the epoch */
  expires: number
}

class MemoryStore implements CallStore {
  // In order of their last event: the first are the ones to forget.
  readonly #entries = new Map<string, Entry>()
  readonly #endings = new Endings()
  readonly #maxCalls: number
  #context!: StoreContext
  #sweeper?: NodeJS.Timeout

  constructor (maxCalls: number) {
    this.#maxCalls = maxCalls
  }

  async start (context: StoreContext): Promise<void> {
    this.#context = context
    this.#sweeper = setInterval(() => this.#sweep(), Math.max(context.callTtl / SWEEPS_PER_TTL, 10)).unref()
  }

  async get (callSid: string): Promise<Call | undefined> {
    return this.#live(callSid)
  }

  async list (): Promise<Call[]> {
    this.#sweep()
    return Array.from(this.#entries.values(), ({ call }) => call).sort((a, b) => a.createdAt < b.createdAt ? 1 : -1)
  }

  async update (callSid: string, patch: CallPatch): Promise<Updated> {
    const created = this.#live(callSid) === undefined
    return { created, call: this.#write(callSid, patch) }
  }

  async end (callSid: string, patch: CallPatch): Promise<Ended> {
    const before = this.#live(callSid)
    if (before?.endedAt !== undefined) return { first: false, call: before }
    return { first: true, call: this.#write(callSid, { ...patch, call: { ...patch.call, endedAt: new Date().toISOString() } }) }
  }

  async claim (callSid: string, listenId: string): Promise<Claim> {
    const call = this.#live(callSid)
    if (call && isClaimed(call, listenId)) return { claimed: false, call }
    return { claimed: true, call: this.#write(callSid, { listens: { [listenId]: { instance: this.#context.instance } } }) }
  }

  async reopen (callSid: string, listenId: string, fields: Partial<Omit<Listen, 'id'>>): Promise<Reopened> {
    const before = this.#live(callSid)
    if (before && hasEnded(before, listenId)) return { reopened: false, call: before }
    const call = reopenListen(this.#write(callSid, { listens: { [listenId]: fields } }), listenId)
    this.#keep(callSid, call)
    this.#endings.signal(callSid, listenId)
    return { reopened: true, call }
  }

  async ended (callSid: string, listenId: string, timeoutMs: number): Promise<Call | undefined> {
    const call = this.#live(callSid)
    if (call === undefined || isSettled(call, listenId)) return call
    const waiter = this.#endings.waiter(callSid, listenId)
    await waiter.wait(timeoutMs)
    waiter.close()
    return this.#live(callSid)
  }

  health (): StoreHealth {
    return { available: true, pending: 0, dropped: 0 }
  }

  async close (): Promise<void> {
    clearInterval(this.#sweeper)
    this.#endings.signalAll()
  }

  #live (callSid: string): Call | undefined {
    const entry = this.#entries.get(callSid)
    return entry !== undefined && (entry.expires > Date.now() || streams(entry.call)) ? entry.call : undefined
  }

  #write (callSid: string, patch: CallPatch): Call {
    const before = this.#live(callSid) ?? newCall(callSid)
    // A stored call is what a shared store would give back: plain JSON, nothing of the writer's objects.
    const call = applyPatch(before, asJson(callSid, patch))
    this.#keep(callSid, call)
    if (this.#entries.size > this.#maxCalls) this.#entries.delete(this.#entries.keys().next().value ?? '')
    for (const id of Object.keys(patch.listens ?? {})) {
      if (hasEnded(call, id)) this.#endings.signal(callSid, id)
    }
    return call
  }

  /** As the one with the latest event. */
  #keep (callSid: string, call: Call): void {
    this.#entries.delete(callSid)
    this.#entries.set(callSid, { call, expires: Date.now() + this.#context.callTtl })
  }

  #sweep (): void {
    const now = Date.now()
    for (const [callSid, { call, expires }] of this.#entries) {
      if (expires > now) return
      if (streams(call)) this.#keep(callSid, call)
      else this.#entries.delete(callSid)
    }
  }
}

/** The audio of a long listen is no event of its call, and yet it lives. */
function streams (call: Call): boolean {
  return call.listens.some(({ state }) => state === 'streaming')
}
