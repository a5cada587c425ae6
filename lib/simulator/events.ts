import { SIM_WAIT } from './errors.js'
import type { EventName, EventPayloads, SimulatorEvent } from './types.js'

const KEPT = 1_000
const DEFAULT_WAIT_MS = 10_000

type Listener = (event: SimulatorEvent) => void

interface Waiter {
  name: EventName
  matches: (payload: never) => boolean
  done: (event: SimulatorEvent) => void
}

/** The events of one call. Each event is passed to the listeners, and kept for a later `waitFor`. */
export class EventLog {
  readonly #now: () => number
  readonly #failed: (error: unknown) => void
  readonly #listeners = new Map<EventName | '*', Set<Listener>>()
  readonly #unclaimed = new Map<EventName, SimulatorEvent[]>()
  readonly #counts = new Map<EventName, number>()
  #waiters: Waiter[] = []
  #closed = false

  /** `failed` is called when a listener throws. The call and the other listeners go on. */
  constructor(now: () => number, failed: (error: unknown) => void) {
    this.#now = now
    this.#failed = failed
  }

  emit<Name extends EventName>(name: Name, payload: EventPayloads[Name]): void {
    const event = { name, atMs: Math.round(this.#now()), payload } as SimulatorEvent
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    for (const listener of this.#listeners.get('*') ?? []) this.#tell(listener, event)
    for (const listener of this.#listeners.get(name) ?? []) this.#tell(listener, event)
    const waiter = this.#waiters.find(
      (candidate) => candidate.name === name && candidate.matches(payload as never)
    )
    if (waiter !== undefined) return waiter.done(event)
    const kept = this.#unclaimed.get(name) ?? []
    kept.push(event)
    if (kept.length > KEPT) kept.shift()
    this.#unclaimed.set(name, kept)
  }

  on(name: EventName | '*', listener: Listener): () => void {
    const listeners = this.#listeners.get(name) ?? new Set()
    listeners.add(listener)
    this.#listeners.set(name, listeners)
    return () => listeners.delete(listener)
  }

  /** Resolves to the next event of this name that no earlier `waitFor` got. The event may have happened before. */
  waitFor<Name extends EventName>(
    name: Name,
    predicate: (payload: EventPayloads[Name]) => boolean = () => true,
    timeoutMs = DEFAULT_WAIT_MS
  ): Promise<EventPayloads[Name]> {
    const kept = this.#unclaimed.get(name) ?? []
    const index = kept.findIndex((event) => predicate(event.payload as EventPayloads[Name]))
    if (index !== -1) return Promise.resolve(kept.splice(index, 1)[0]!.payload as EventPayloads[Name])
    if (this.#closed) {
      return Promise.reject(new SIM_WAIT(name, `the call is over without it; seen: ${this.#seen()}`))
    }
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
        reject(new SIM_WAIT(name, `${why}; seen: ${this.#seen()}`))
      }
      const timer = setTimeout(() => fail(`did not come within ${timeoutMs} ms`), timeoutMs)
      const waiter: Waiter & { fail: typeof fail } = {
        name,
        matches: predicate as (payload: never) => boolean,
        fail: (why) => {
          clearTimeout(timer)
          fail(why)
        },
        done: (event) => {
          clearTimeout(timer)
          this.#waiters = this.#waiters.filter((other) => other !== waiter)
          resolve(event.payload as EventPayloads[Name])
        }
      }
      this.#waiters.push(waiter)
    })
  }

  /** Rejects all waits, because the call has ended. */
  close(): void {
    this.#closed = true
    for (const waiter of [...this.#waiters]) {
      ;(waiter as Waiter & { fail: (why: string) => void }).fail('the call is over without it')
    }
  }

  #tell(listener: Listener, event: SimulatorEvent): void {
    try {
      listener(event)
    } catch (error) {
      this.#failed(error)
    }
  }

  #seen(): string {
    return [...this.#counts].map(([name, count]) => `${count} ${name}`).join(', ') || 'nothing'
  }
}
