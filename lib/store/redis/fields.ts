import { Type, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FastifyBaseLogger } from 'fastify'
import { newCall, newListen, type CallPatch, type Guard } from '../../model/callWrite.js'
import { deepFreeze, thrownMessage } from '../../model/json.js'
import { ERR_CALL_DATA } from '../../model/errors.js'
import {
  CallSchema,
  ListenSchema,
  type Call,
  type Listen,
  type StoredCall,
  type StoredListen
} from '../../model/schema.js'
import { isoTime } from '../../model/time.js'

// A call is a hash in Redis. Each field has its own value, so that two instances can write different fields at once:
//   c:<name>       a field of the call
//   d:<key>        a key of call.data
//   l:<id>:<name>  a field of a listen
//   l:<id>:#       the place of a listen among the others: [µs, index in its patch]
// Each value is `<version> <json>`. The version is a time in µs on the clock of Redis. Of two values of a
// field, the value with the higher version wins. The fields that are written when a call ends are sealed,
// which means that their versions are higher than all other versions.

/** The fields of a call: `<version> <json>` by name. */
export type Fields = Map<string, string>
export interface Field {
  name: string
  version: number
  json: string
}

/** The version of a default value, which any other value replaces. */
export const DEFAULT = 0
/** µs that are added to a version to seal it: about 140 years, so that no later write has a higher version. */
export const SEAL = 2 ** 52
/** The value of a removed field, in place of JSON. */
export const REMOVED = ''
const PLACE = '#'
/** Names of fields that are not stored, since the key or the names of other fields contain them. */
const IN_KEYS: ReadonlySet<string> = new Set(['id', 'callSid', 'data', 'listens', '__proto__'])

/**
 * A condition of a write: the field must have (`is`) or must not have (`not`) this JSON. REMOVED stands for a
 * field that does not exist.
 */
export interface FieldGuard {
  op: 'is' | 'not'
  field: string
  json: string
}

/** One part of a write. Its fields are written if all guards hold. */
export interface FieldPart {
  guards: readonly FieldGuard[]
  fields: readonly Field[]
  /** ids of the listens whose waiters are to read their call again */
  wakes: readonly string[]
}

type Schemas = Readonly<Record<string, TSchema | undefined>>

/**
 * The schemas of the fields that only stored calls and listens have. If a schema is missing or wrong, tsc
 * fails.
 */
type StoreFields<Stored, Shown> = {
  readonly [Name in Exclude<keyof Stored, keyof Shown>]-?: TSchema & { static: NonNullable<Stored[Name]> }
}

const STORE_FIELDS_OF_CALL: StoreFields<StoredCall, Call> = {
  transport: Type.Union([Type.Literal('http'), Type.Literal('websocket')]),
  acknowledgedAt: Type.String(),
  holder: Type.String(),
  commanded: Type.String(),
  application: Type.String()
}
const STORE_FIELDS_OF_LISTEN: StoreFields<StoredListen, Listen> = {
  trace: Type.String(),
  saved: Type.Number(),
  offers: Type.Number(),
  refused: Type.Boolean(),
  hookedAt: Type.String(),
  watcher: Type.String(),
  foreignHook: Type.Boolean(),
  background: Type.String(),
  keyed: Type.Boolean()
}
const CALL_FIELDS: Schemas = { ...CallSchema.properties, ...STORE_FIELDS_OF_CALL }
const LISTEN_FIELDS: Schemas = {
  ...ListenSchema.properties,
  ...STORE_FIELDS_OF_LISTEN,
  [PLACE]: Type.Tuple([Type.Number(), Type.Number()])
}

/**
 * Returns the fields of a patch. `seal` is added to the versions of the call's own fields. Throws
 * FST_JAMBONZ_CALL_DATA if a value is no JSON.
 */
export function fieldsOf(callSid: string, patch: CallPatch, version: number, seal = 0): Field[] {
  const now = isoTime()
  const fields: Field[] = []

  function add(name: string, value: unknown, as = version): void {
    if (value === undefined) return
    const json = toJson(callSid, value)
    if (json !== undefined) fields.push({ name, version: as, json })
  }

  add('c:createdAt', now, DEFAULT)
  add('c:updatedAt', now)
  for (const [name, value] of Object.entries(patch.call ?? {})) add(`c:${name}`, value, version + seal)
  for (const [key, value] of Object.entries(patch.data ?? {})) add(`d:${key}`, value)
  for (const [place, listen] of (patch.listens ?? []).entries()) {
    add(listenField(listen.id, PLACE), [version, place], DEFAULT)
    add(listenField(listen.id, 'createdAt'), now, DEFAULT)
    add(listenField(listen.id, 'state'), 'expected', DEFAULT)
    for (const [name, value] of Object.entries(listen)) {
      const field = listenField(listen.id, name)
      if (value === null) fields.push({ name: field, version, json: REMOVED })
      else if (!IN_KEYS.has(name)) add(field, value)
    }
  }
  return fields
}

export function listenField(id: string, name: string): string {
  return `l:${id}:${name}`
}

/** Returns the id of the field's listen; undefined for a field of the call. */
export function listenOfField({ name }: Field): string | undefined {
  return name.startsWith('l:') ? name.slice(2, name.lastIndexOf(':')) : undefined
}

/** Returns the guard with the name of its field in Redis, and with the JSON to compare the field with. */
export function guardOf(guard: Guard): FieldGuard {
  const field = guard.listen === undefined ? `c:${guard.field}` : listenField(guard.listen, guard.field)
  const [op, value] = 'is' in guard ? (['is', guard.is] as const) : (['not', guard.not] as const)
  return { op, field, json: value === null ? REMOVED : JSON.stringify(value) }
}

function toJson(callSid: string, value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (err) {
    throw new ERR_CALL_DATA(callSid, thrownMessage(err))
  }
}

export function textOf({ version, json }: Field): string {
  return `${version} ${json}`
}

export function fieldOf(name: string, text: string): Field {
  return { name, version: versionOf(text), json: jsonOf(text) }
}

/**
 * Returns the version of a value. Returns DEFAULT for a damaged value, so that every write replaces the
 * value.
 */
export function versionOf(text: string): number {
  const version = Number.parseInt(text, 10)
  return Number.isNaN(version) ? DEFAULT : version
}

/** Returns the JSON of a value; REMOVED for an absent field. */
export function jsonOf(text: string | undefined): string {
  return text === undefined ? REMOVED : text.slice(text.indexOf(' ') + 1)
}

/**
 * Returns the call that the fields describe, frozen. Leaves out a field that can't be read, and calls
 * `damaged` with the name of the field.
 */
export function callOf(callSid: string, fields: Fields, damaged?: (field: string) => void): StoredCall {
  const call: Array<[string, unknown]> = []
  const data: Array<[string, unknown]> = []
  const listens = new Map<string, Array<[string, unknown]>>()
  for (const [name, text] of fields) {
    const json = jsonOf(text)
    if (json === REMOVED) continue
    const value = readField(name, json)
    const key = name.slice(2)
    if (value === undefined) damaged?.(name)
    else if (name.startsWith('c:')) call.push([key, value])
    else if (name.startsWith('d:')) data.push([key, value])
    else if (name.startsWith('l:')) add(listens, key, value)
  }
  return deepFreeze({
    ...newCall(callSid),
    ...Object.fromEntries(call),
    data: Object.fromEntries(data),
    listens: Array.from(listens, ([id, entries]) => listenOf(callSid, id, entries))
      .sort(byPlace)
      .map(({ listen }) => listen)
  })
}

function readField(name: string, json: string): unknown {
  try {
    const value: unknown = JSON.parse(json)
    return isWhatItShouldBe(name, value) ? value : undefined
  } catch {
    return undefined
  }
}

/**
 * Returns true if a field's value is valid. A field with an unknown name is valid, since a later version of
 * this package may write it.
 */
function isWhatItShouldBe(name: string, value: unknown): boolean {
  if (name.startsWith('d:')) return true
  const own = name.slice(name.lastIndexOf(':') + 1)
  if (IN_KEYS.has(own)) return false
  const schema = (name.startsWith('c:') ? CALL_FIELDS : LISTEN_FIELDS)[own]
  return schema === undefined || Value.Check(schema, value)
}

function add(listens: Map<string, Array<[string, unknown]>>, key: string, value: unknown): void {
  const colon = key.lastIndexOf(':')
  const id = key.slice(0, colon)
  const entries = listens.get(id) ?? []
  entries.push([key.slice(colon + 1), value])
  listens.set(id, entries)
}

interface Placed {
  listen: StoredListen
  place: [version: number, place: number]
}

function listenOf(callSid: string, id: string, entries: Array<[string, unknown]>): Placed {
  const { [PLACE]: place, ...fields } = Object.fromEntries(entries)
  return { listen: { ...newListen(callSid, id), ...fields }, place: (place as Placed['place']) ?? [0, 0] }
}

function byPlace({ place: a }: Placed, { place: b }: Placed): number {
  return a[0] - b[0] || a[1] - b[1]
}

/** Maximum number of damaged fields to remember, so that each is logged once. */
const MAX_SAID = 1_000
/** ms between two log lines about foreign messages */
const MESSAGE_INTERVAL = 60_000
/** maximum number of characters of a message or a name in the log */
const SHOWN = 100

/** Logs damaged values in Redis: each field once, messages once a minute. */
export class DamageLog {
  readonly #logger: FastifyBaseLogger
  readonly #said = new Set<string>()
  #messages = 0
  #messagesSaid = -Infinity

  constructor(logger: FastifyBaseLogger) {
    this.#logger = logger
  }

  ofField(callSid: string, field: string): void {
    if (!this.#isNew(`${callSid}\n${field}`)) return
    this.#logger.warn({ callSid, field }, 'a field of a call in Redis is damaged and was ignored')
  }

  ofCall(callSid: string, err: unknown): void {
    if (!this.#isNew(callSid)) return
    this.#logger.error({ err, callSid }, 'a call in Redis could not be read and was not listed')
  }

  ofHeld(name: string): void {
    if (!this.#isNew(name)) return
    this.#logger.warn(
      { name: name.slice(0, SHOWN) },
      'the name of a held listen in Redis is damaged and was removed'
    )
  }

  ofMessage(text: string): void {
    this.#messages++
    const now = performance.now()
    if (now - this.#messagesSaid < MESSAGE_INTERVAL) return
    this.#messagesSaid = now
    this.#logger.warn(
      { message: text.slice(0, SHOWN), count: this.#messages },
      'a foreign message on the Redis channel was ignored'
    )
    this.#messages = 0
  }

  #isNew(what: string): boolean {
    if (this.#said.has(what)) return false
    if (this.#said.size >= MAX_SAID) this.#said.clear()
    this.#said.add(what)
    return true
  }
}
