import { EventEmitter } from 'node:events'
import type { Call } from './schema.js'
import type { CallPatch, CallStore, Claim, StoreContext, Updated } from './CallStore.js'
import { applyPatch, newCall } from './patch.js'

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
  readonly #endings = new EventEmitter().setMaxListeners(0)
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

  async end (callSid: string, patch: CallPatch): Promise<{ first: boolean, call: Call }> {
    const before = this.#live(callSid)
    if (before?.endedAt !== undefined) return { first: false, call: before }
    return { first: true, call: this.#write(callSid, { ...patch, call: { ...patch.call, endedAt: new Date().toISOString() } }) }
  }

  async claim (callSid: string, listenId: string): Promise<Claim> {
    const call = this.#live(callSid)
    const listen = call?.listens.find(({ id }) => id === listenId)
    if (call && listen && (listen.instance !== undefined || listen.state === 'ended')) return { claimed: false, call }
    return { claimed: true, call: this.#write(callSid, { listens: { [listenId]: { instance: this.#context.instance } } }) }
  }

  async ended (callSid: string, listenId: string, timeoutMs: number): Promise<Call | undefined> {
    const call = this.#live(callSid)
    if (call === undefined || hasEnded(call, listenId)) return call
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, timeoutMs)
      const endings = this.#endings
      function done () {
        clearTimeout(timer)
        endings.off(listenId, done)
        resolve()
      }
      endings.on(listenId, done)
    })
    return this.#live(callSid)
  }

  async close (): Promise<void> {
    clearInterval(this.#sweeper)
  }

  #live (callSid: string): Call | undefined {
    const entry = this.#entries.get(callSid)
    return entry !== undefined && entry.expires > Date.now() ? entry.call : undefined
  }

  #write (callSid: string, patch: CallPatch): Call {
    const before = this.#live(callSid) ?? newCall(callSid)
    // A stored call is what a shared store would give back: plain JSON, nothing of the writer's objects.
    const call = applyPatch(before, JSON.parse(JSON.stringify(patch)) as CallPatch)
    this.#entries.delete(callSid)
    this.#entries.set(callSid, { call, expires: Date.now() + this.#context.callTtl })
    this.#forgetBeyond(this.#maxCalls)
    for (const id of Object.keys(patch.listens ?? {})) {
      if (hasEnded(call, id)) this.#endings.emit(id)
    }
    return call
  }

  #forgetBeyond (maxCalls: number): void {
    const oldest = this.#entries.keys().next().value
    if (this.#entries.size > maxCalls && oldest !== undefined) this.#entries.delete(oldest)
  }

  #sweep (): void {
    const now = Date.now()
    for (const [callSid, { expires }] of this.#entries) {
      if (expires > now) return
      this.#entries.delete(callSid)
    }
  }
}

function hasEnded (call: Call, listenId: string): boolean {
  return call.listens.find(({ id }) => id === listenId)?.state === 'ended'
}
