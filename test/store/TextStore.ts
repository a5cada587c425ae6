import {
  applyWrite,
  mayStillListen,
  newCall,
  newestFirst,
  streams,
  Waiters,
  type CallStore,
  type CallWrite,
  type KeptCall,
  type Reached,
  type StoreContext,
  type StoredCall,
  type StoreHealth,
  type Written
} from '../../lib/store/index.js'

interface Row extends KeptCall {
  /** time at which the row is deleted, in ms since the epoch */
  expires: number
}

/** A table of texts, as most databases have. replace() fails if the row has changed since it was read. */
class Table {
  readonly #rows = new Map<string, string>()

  async read(key: string): Promise<string | undefined> {
    return this.#rows.get(key)
  }

  async replace(key: string, before: string | undefined, text: string): Promise<boolean> {
    if (this.#rows.get(key) !== before) return false
    this.#rows.set(key, text)
    return true
  }

  async all(): Promise<string[]> {
    return [...this.#rows.values()]
  }
}

/**
 * A custom store, written as docs/stores.md describes. It keeps calls as JSON in a table, and shows how
 * little code a store needs.
 */
export class TextStore implements CallStore {
  readonly shared = false
  readonly #table = new Table()
  readonly #waiters = new Waiters()
  #context!: StoreContext

  async start(context: StoreContext): Promise<void> {
    this.#context = context
  }

  async get(callSid: string): Promise<StoredCall | undefined> {
    return rowOf(await this.#table.read(callSid))?.call
  }

  async list(): Promise<StoredCall[]> {
    const rows = (await this.#table.all()).map(rowOf)
    return rows.flatMap((row) => (row ? [row.call] : [])).sort(newestFirst)
  }

  async write(callSid: string, write: CallWrite): Promise<Written> {
    for (;;) {
      const text = await this.#table.read(callSid)
      const before = rowOf(text)
      const { kept, applied } = applyWrite(callSid, before, write)
      if (kept === undefined) return { created: false, applied, kept: true, call: newCall(callSid) }
      const row: Row = { ...kept, expires: Date.now() + this.#ttlOf(kept.call) }
      // Another write came between the read and this write. Start again, so that the guards check the new
      // row.
      if (!(await this.#table.replace(callSid, text, JSON.stringify(row)))) continue
      for (const [at, { wakes = [] }] of write.entries()) {
        if (applied[at]) for (const listenId of wakes) this.#waiters.wake(callSid, listenId)
      }
      return { created: before === undefined, applied, kept: true, call: kept.call }
    }
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
    // No other instance uses this store, so there is no instance to send the message to.
  }

  health(): StoreHealth {
    return { available: true, pending: 0, dropped: 0 }
  }

  async close(): Promise<void> {
    this.#waiters.close()
  }

  #ttlOf(call: StoredCall): number {
    const { callTtl, expectedTtl = callTtl } = this.#context
    return mayStillListen(call) ? Math.max(callTtl, expectedTtl) : callTtl
  }
}

function rowOf(text: string | undefined): Row | undefined {
  if (text === undefined) return undefined
  const row = JSON.parse(text, (_name, value: unknown) => Object.freeze(value)) as Row
  return row.expires > Date.now() || streams(row.call) ? row : undefined
}
