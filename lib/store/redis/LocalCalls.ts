import { newCall } from '../../model/callWrite.js'
import type { StoredCall } from '../../model/schema.js'
import {
  callOf,
  DEFAULT,
  fieldOf,
  jsonOf,
  SEAL,
  textOf,
  versionOf,
  type Field,
  type FieldPart,
  type Fields
} from './fields.js'

export interface Outcome {
  /** for each part: true if it was written */
  applied: boolean[]
  created: boolean
  call: StoredCall
}

export interface Waiting {
  callSid: string
  fields: Field[]
}

/** Called with the name of a field that can't be read. */
export type Damaged = (callSid: string, field: string) => void

interface Copy {
  fields: Fields
  /** names of fields that the store does not have yet */
  pending: Set<string>
  /** time of the last use, ms of performance.now() */
  touched: number
  call?: StoredCall
}

/**
 * This instance's copies of calls. A copy has the last known state of the call in the store, and the writes
 * that the store does not have yet. The number of copies and their age are limited.
 */
export class LocalCalls {
  // The copies, in the order of their last use.
  readonly #copies = new Map<string, Copy>()
  readonly #maxCalls: number
  readonly #ttl: number
  readonly #damaged: Damaged
  #dropped = 0
  #pending = 0

  constructor(maxCalls: number, ttl: number, damaged: Damaged) {
    this.#maxCalls = maxCalls
    this.#ttl = ttl
    this.#damaged = damaged
  }

  /** number of calls with fields that the store does not have yet */
  get pending(): number {
    return this.#pending
  }

  /** number of calls whose pending fields were dropped */
  get dropped(): number {
    return this.#dropped
  }

  get(callSid: string): StoredCall | undefined {
    const copy = this.#copies.get(callSid)
    return copy && this.#callOf(callSid, copy)
  }

  #callOf(callSid: string, copy: Copy): StoredCall {
    return (copy.call ??= callOf(callSid, copy.fields, (field) => this.#damaged(callSid, field)))
  }

  list(): StoredCall[] {
    return Array.from(this.#copies.keys(), (callSid) => this.get(callSid)).filter(
      (call) => call !== undefined
    )
  }

  /**
   * Merges fields from the store into the copy. Of each field, the newer version is kept. `event`: true if
   * the fields are the reply to a write, so that the copy counts as just used.
   */
  learn(callSid: string, stored: Iterable<[name: string, text: string]>, event: boolean): StoredCall {
    const copy = this.#copy(callSid, event)
    for (const [name, text] of stored) {
      const known = copy.fields.get(name)
      if (known !== undefined && versionOf(known) > versionOf(text)) continue
      copy.fields.set(name, text)
      copy.call = undefined
    }
    return this.#callOf(callSid, copy)
  }

  /** Applies a change only to the copy. The changed fields are then pending. */
  change(callSid: string, parts: readonly FieldPart[]): Outcome {
    const known = this.#copies.get(callSid)
    const applied = parts.map(({ guards }) =>
      guards.every(({ op, field, json }) => (jsonOf(known?.fields.get(field)) === json) === (op === 'is'))
    )
    if (known === undefined && !applied.includes(true)) {
      return { applied, created: false, call: newCall(callSid) }
    }
    const copy = this.#copy(callSid, true)
    for (const [at, { fields }] of parts.entries()) if (applied[at]) this.#apply(copy, fields)
    return { applied, created: known === undefined, call: this.#callOf(callSid, copy) }
  }

  #apply(copy: Copy, fields: readonly Field[]): void {
    if (fields.length === 0) return
    if (copy.pending.size === 0) this.#pending++
    for (const { name, version, json } of fields) {
      const known = copy.fields.get(name)
      const other = known === undefined ? -1 : versionOf(known)
      if ((version === DEFAULT && other >= DEFAULT) || (version < SEAL && other >= SEAL)) continue
      copy.fields.set(name, textOf({ name, json, version: Math.max(version, other + 1) }))
      copy.pending.add(name)
    }
    copy.call = undefined
  }

  /** Returns the calls with pending fields, each with these fields. */
  waiting(): Waiting[] {
    if (this.#pending === 0) return []
    return Array.from(this.#copies)
      .filter(([, { pending }]) => pending.size > 0)
      .map(([callSid, { fields, pending }]) => ({
        callSid,
        fields: Array.from(pending, (name) => fieldOf(name, fields.get(name) ?? ''))
      }))
  }

  /** Marks fields as no longer pending, because the store has or refuses them. */
  settle(callSid: string, fields: readonly Field[]): void {
    const copy = this.#copies.get(callSid)
    if (copy === undefined || copy.pending.size === 0) return
    for (const { name, version } of fields) {
      // A field that has changed meanwhile stays pending.
      if (versionOf(copy.fields.get(name) ?? '0') <= version) copy.pending.delete(name)
    }
    if (copy.pending.size === 0) this.#pending--
  }

  /** Returns all fields of the call. */
  fieldsOf(callSid: string): Field[] {
    const { fields = [] } = this.#copies.get(callSid) ?? {}
    return Array.from(fields, ([name, text]) => fieldOf(name, text))
  }

  /** Returns all fields of the calls that were used since `since`, ms of performance.now(). */
  touchedSince(since: number): Waiting[] {
    return Array.from(this.#copies)
      .filter(([, { touched }]) => touched >= since)
      .map(([callSid, { fields }]) => ({
        callSid,
        fields: Array.from(fields, ([name, text]) => fieldOf(name, text))
      }))
  }

  /** Returns the ms until the copy expires. */
  remaining(callSid: string): number {
    const copy = this.#copies.get(callSid)
    return copy === undefined ? 0 : Math.max(copy.touched + this.#ttl - performance.now(), 0)
  }

  forget(callSid: string): void {
    const copy = this.#copies.get(callSid)
    if (copy === undefined) return
    this.#copies.delete(callSid)
    if (copy.pending.size === 0) return
    this.#pending--
    this.#dropped++
  }

  forgetExpired(): void {
    const oldest = performance.now() - this.#ttl
    for (const [callSid, { touched }] of this.#copies) {
      if (touched >= oldest) return
      this.forget(callSid)
    }
  }

  #copy(callSid: string, touch: boolean): Copy {
    const known = this.#copies.get(callSid)
    if (known !== undefined && !touch) return known
    if (known === undefined && this.#copies.size >= this.#maxCalls) this.#forgetOne()
    const copy = known ?? { fields: new Map(), pending: new Set(), touched: 0 }
    copy.touched = performance.now()
    this.#copies.delete(callSid)
    this.#copies.set(callSid, copy)
    return copy
  }

  /**
   * Drops the oldest copy without pending fields. If every copy has pending fields, drops the oldest copy.
   */
  #forgetOne(): void {
    let oldest: string | undefined
    for (const [callSid, { pending }] of this.#copies) {
      oldest ??= callSid
      if (pending.size === 0) {
        oldest = callSid
        break
      }
    }
    if (oldest !== undefined) this.forget(oldest)
  }
}
