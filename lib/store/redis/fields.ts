import { ERR_CALL_DATA } from '../../model/errors.js'
import type { CallPatch } from '../../model/patch.js'
import { freezeCall, newCall, newListen } from '../../model/patch.js'
import type { Call, Listen } from '../../model/schema.js'

// A call is a hash of fields, each a value of its own, so that instances which write different ones at once don't
// meet:
//   c:<name>       of the call               d:<key>        of call.data
//   l:<id>:<name>  of a listen               l:<id>:#       its place among the others: [µs, n-th of its patch]
// Each holds `<version> <json>`. The version is a time in µs, on the clock of Redis; of two values of one field the one
// with the higher version is right, wherever they meet. What the end of a call says of it is sealed: later than anything.

/** name -> `<version> <json>` */
export type Fields = Map<string, string>
export interface Field {
  name: string
  version: number
  json: string
}

/** the version of what is written only where there is nothing */
export const DEFAULT = 0
/** What is added to a version to seal it: some 140 years. */
export const SEAL = 2 ** 52
/** in the place of JSON: the field was there, and is no more */
export const REMOVED = ''
const PLACE = '#'
/** of a listen: said by where its fields stand */
const IN_KEYS: ReadonlySet<string> = new Set(['id', 'callSid'])
const STATE = ':state'
const INSTANCE = ':instance'
const SAVED = ':saved'
/** the JSON of a listen's state */
export const IS_ENDED = '"ended"'
export const IS_STREAMING = '"streaming"'

/** The fields of a patch. `seal`: what is added to the versions of the call's own. Throws FST_JAMBONZ_CALL_DATA. */
export function fieldsOf(callSid: string, patch: CallPatch, version: number, seal = 0): Field[] {
  const now = new Date().toISOString()
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
    for (const [name, value] of Object.entries(listen)) {
      if (!IN_KEYS.has(name)) add(listenField(listen.id, name), value)
    }
  }
  return fields
}

export function listenField(id: string, name: string): string {
  return `l:${id}:${name}`
}

function toJson(callSid: string, value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (err) {
    throw new ERR_CALL_DATA(callSid, err instanceof Error ? err.message : String(err))
  }
}

/** Of the call itself, and said of it. */
export function isOfCall({ name }: Field): boolean {
  return name.startsWith('c:') && name !== 'c:updatedAt'
}

export function textOf({ version, json }: Field): string {
  return `${version} ${json}`
}

export function fieldOf(name: string, text: string): Field {
  return { name, version: versionOf(text), json: jsonOf(text) }
}

export function versionOf(text: string): number {
  return Number.parseInt(text, 10)
}

/** REMOVED for a field that is not there. */
export function jsonOf(text: string | undefined): string {
  return text === undefined ? REMOVED : text.slice(text.indexOf(' ') + 1)
}

/** The frozen call that the fields describe. */
export function callOf(callSid: string, fields: Fields): Call {
  const call: Array<[string, unknown]> = []
  const data: Array<[string, unknown]> = []
  const listens = new Map<string, Array<[string, unknown]>>()
  for (const [name, text] of fields) {
    const json = jsonOf(text)
    if (json === REMOVED) continue
    const value: unknown = JSON.parse(json)
    const key = name.slice(2)
    if (name.startsWith('c:')) call.push([key, value])
    else if (name.startsWith('d:')) data.push([key, value])
    else if (name.startsWith('l:')) add(listens, key, value)
  }
  return freezeCall({
    ...newCall(callSid),
    ...Object.fromEntries(call),
    data: Object.fromEntries(data),
    listens: Array.from(listens, ([id, entries]) => listenOf(callSid, id, entries))
      .sort(byPlace)
      .map(({ listen }) => listen)
  })
}

function add(listens: Map<string, Array<[string, unknown]>>, key: string, value: unknown): void {
  const colon = key.lastIndexOf(':')
  const id = key.slice(0, colon)
  const entries = listens.get(id) ?? []
  entries.push([key.slice(colon + 1), value])
  listens.set(id, entries)
}

interface Placed {
  listen: Listen
  place: [version: number, place: number]
}

function listenOf(callSid: string, id: string, entries: Array<[string, unknown]>): Placed {
  const { [PLACE]: place, ...fields } = Object.fromEntries(entries)
  return { listen: { ...newListen(callSid, id), ...fields }, place: (place as Placed['place']) ?? [0, 0] }
}

function byPlace({ place: a }: Placed, { place: b }: Placed): number {
  return a[0] - b[0] || a[1] - b[1]
}

/** The field of a listen that is no more; `instance` is all that ever goes. */
export function removedField(id: string, name: 'instance', version: number): Field {
  return { name: listenField(id, name), version, json: REMOVED }
}

/** The listens that somebody may wait for, after these fields: ended, open again, saved. */
export function changedListens(fields: readonly Field[]): string[] {
  return listensOf(fields, (field) => isRelease(field) || field.name.endsWith(SAVED))
}

/** The listens whose socket is held no longer, after these fields. */
export function releasedListens(fields: readonly Field[]): string[] {
  return listensOf(fields, isRelease)
}

function listensOf(fields: readonly Field[], isMeant: (field: Field) => boolean): string[] {
  const ids = fields
    .filter((field) => field.name.startsWith('l:') && isMeant(field))
    .map(({ name }) => name.slice(2, name.lastIndexOf(':')))
  return [...new Set(ids)]
}

/** Its end, or that another socket is to open. */
function isRelease({ name, json }: Field): boolean {
  return (name.endsWith(STATE) && json === IS_ENDED) || (name.endsWith(INSTANCE) && json === REMOVED)
}
