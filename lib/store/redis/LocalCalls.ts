import type { Call } from '../../model/schema.js'
import {
  callOf,
  DEFAULT,
  fieldOf,
  jsonOf,
  SEAL,
  textOf,
  versionOf,
  type Field,
  type Fields
} from './fields.js'

/** What must hold for a write: the field has (`is`), or has not (`not`), this JSON; REMOVED for none. */
export interface Guard {
  op: 'is' | 'not'
  field: string
  json: string
}

export interface Change {
  /** written where all guards hold */
  fields: readonly Field[]
  guards: readonly Guard[]
  /** written in any case */
  also?: readonly Field[]
}

export interface Outcome {
  applied: boolean
  created: boolean
  call: Call
}

export interface Waiting {
  callSid: string
  fields: Field[]
}

interface Copy {
  fields: Fields
  /** names of fields that the store does not have yet */
  pending: Set<string>
  /** ms since the epoch */
  touched: number
  call?: Call
}

/**
 * What this instance knows of calls: as the store said last, and what the store is yet to be told. Bounded in number
 * and time.
 */
export class LocalCalls {
  // In the order they were touched.
  readonly #copies = new Map<string, Copy>()
  readonly #maxCalls: number
  readonly #ttl: number
  #dropped = 0
  #pending = 0

  constructor(maxCalls: number, ttl: number) {
    this.#maxCalls = maxCalls
    this.#ttl = ttl
  }

  /** calls with something the store does not have yet */
  get pending(): number {
    return this.#pending
  }

  /** calls whose pending fields had to be given up */
  get dropped(): number {
    return this.#dropped
  }

  get(callSid: string): Call | undefined {
    const copy = this.#copies.get(callSid)
    return copy && (copy.call ??= callOf(callSid, copy.fields))
  }

  list(): Call[] {
    return Array.from(this.#copies.keys(), (callSid) => this.get(callSid)).filter(
      (call) => call !== undefined
    )
  }

  /** What the store says, to the copy: the newer version of each field. `event`: it was said to a write. */
  learn(callSid: string, stored: Iterable<[name: string, text: string]>, event: boolean): Call {
    const copy = this.#copy(callSid, event)
    for (const [name, text] of stored) {
      const known = copy.fields.get(name)
      if (known !== undefined && versionOf(known) > versionOf(text)) continue
      copy.fields.set(name, text)
      copy.call = undefined
    }
    return (copy.call ??= callOf(callSid, copy.fields))
  }

  /** The change, here alone: its fields wait for the store. */
  change(callSid: string, { fields, guards, also = [] }: Change): Outcome {
    const known = this.#copies.get(callSid)
    const applied = guards.every(
      ({ op, field, json }) => (jsonOf(known?.fields.get(field)) === json) === (op === 'is')
    )
    const copy = this.#copy(callSid, true)
    this.#apply(copy, applied ? [...fields, ...also] : also)
    return {
      applied,
      created: applied && known === undefined,
      call: (copy.call ??= callOf(callSid, copy.fields))
    }
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

  /** The calls whose fields wait for the store, with these. */
  waiting(): Waiting[] {
    if (this.#pending === 0) return []
    return Array.from(this.#copies)
      .filter(([, { pending }]) => pending.size > 0)
      .map(([callSid, { fields, pending }]) => ({
        callSid,
        fields: Array.from(pending, (name) => fieldOf(name, fields.get(name) ?? ''))
      }))
  }

  /** The store has these fields now, or will never take them. */
  settle(callSid: string, fields: readonly Field[]): void {
    const copy = this.#copies.get(callSid)
    if (copy === undefined || copy.pending.size === 0) return
    for (const { name, version } of fields) {
      // One that has changed since waits on.
      if (versionOf(copy.fields.get(name) ?? '0') <= version) copy.pending.delete(name)
    }
    if (copy.pending.size === 0) this.#pending--
  }

  /** All that is known of the calls touched since, in ms since the epoch. */
  touchedSince(since: number): Waiting[] {
    return Array.from(this.#copies)
      .filter(([, { touched }]) => touched >= since)
      .map(([callSid, { fields }]) => ({
        callSid,
        fields: Array.from(fields, ([name, text]) => fieldOf(name, text))
      }))
  }

  /** ms that the call is still to be kept. */
  remaining(callSid: string): number {
    const copy = this.#copies.get(callSid)
    return copy === undefined ? 0 : Math.max(copy.touched + this.#ttl - Date.now(), 0)
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
    const oldest = Date.now() - this.#ttl
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
    copy.touched = Date.now()
    this.#copies.delete(callSid)
    this.#copies.set(callSid, copy)
    return copy
  }

  /** The oldest call the store knows as well; when it knows none of them, the oldest of all. */
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
