import { ERR_CALL_DATA } from './errors.js'
import { frozenJson, isScalar, thrownMessage } from './json.js'
import type { Listen, StoredCall, StoredListen } from './schema.js'
import { isoTime } from './time.js'

/** Fields of the listen that `id` names. null removes a field. */
export type ListenPatch = Pick<Listen, 'id'> & {
  -readonly [Name in keyof Omit<StoredListen, 'id'>]?: undefined extends StoredListen[Name]
    ? StoredListen[Name] | null
    : StoredListen[Name]
}

/**
 * Fields of a call and its listens, as JSON. Fields that are absent or undefined stay unchanged, also if another
 * instance writes them at the same time. A value that is no JSON rejects the write with FST_JAMBONZ_CALL_DATA.
 */
export interface CallPatch {
  /** fields of the call itself */
  call?: { -readonly [Name in keyof Omit<StoredCall, 'callSid' | 'data' | 'listens'>]?: StoredCall[Name] }
  /** merged key by key into `call.data` */
  data?: Readonly<Record<string, unknown>>
  /** each listen at most once; a listen that the call does not have is added */
  listens?: readonly ListenPatch[]
}

/** A condition of a write: the value that a field must have; null stands for a field that does not exist. */
export type Guard = {
  /** id of the listen with the field; undefined for a field of the call itself */
  listen?: string
  field: string
} & ({ is: string | null } | { not: string | null })

/** One part of a write. */
export interface WritePart {
  /** The part is written only if all guards hold. */
  guards?: readonly Guard[]
  patch: CallPatch
  /**
   * true if no other write may change these fields of the call any more, not even an earlier write that
   * arrives late
   */
  final?: boolean
  /** ids of listens whose waiters check their condition again, on all instances */
  wakes?: readonly string[]
}

/** A write to one call, in one step. All guards are checked before any part is written. */
export type CallWrite = readonly WritePart[]

/** A call in a store. */
export interface KeptCall {
  call: StoredCall
  /** names of the call's own fields that are final */
  final: readonly string[]
}

export interface AppliedWrite {
  /** undefined if the call is unknown, and nothing was written */
  kept: KeptCall | undefined
  /** for each part: true if it was written */
  applied: boolean[]
}

/** The audio counts of a listen that has received no audio. */
export const NO_AUDIO = Object.freeze({ frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 })
const NO_DATA = Object.freeze({})
const NO_LISTENS: readonly StoredListen[] = Object.freeze([])
const NO_FINAL: readonly string[] = Object.freeze([])

/**
 * Returns the call after a write, for a store that keeps a call in one piece. The snapshots are new and
 * frozen, and earlier snapshots stay unchanged. Throws FST_JAMBONZ_CALL_DATA if the write is no JSON (a
 * BigInt, a circular reference).
 */
export function applyWrite(
  callSid: string,
  before: KeptCall | undefined,
  write: CallWrite,
  now = isoTime()
): AppliedWrite {
  const applied = write.map(({ guards }) => guards === undefined || holds(before?.call, guards))
  let kept = before
  write.forEach(({ patch, final }, at) => {
    if (applied[at]) kept = applyPart(callSid, kept, patch, final, now)
  })
  return { kept, applied }
}

function holds(call: StoredCall | undefined, guards: readonly Guard[]): boolean {
  return guards.every((guard) => {
    const holder: object | undefined = guard.listen === undefined ? call : listenIn(call, guard.listen)
    const value = (holder as Record<string, unknown> | undefined)?.[guard.field] ?? null
    return 'is' in guard ? value === guard.is : value !== guard.not
  })
}

function applyPart(
  callSid: string,
  before: KeptCall | undefined,
  patch: CallPatch,
  final: boolean | undefined,
  now: string
): KeptCall {
  const { call, final: sealed } = before ?? { call: newCall(callSid, now), final: NO_FINAL }
  if (sealed.length === 0 && !final) return { call: applyPatch(call, patch, now), final: sealed }
  const own = Object.fromEntries(Object.entries(patch.call ?? {}).filter(([name]) => !sealed.includes(name)))
  return {
    call: applyPatch(call, { ...patch, call: own }, now),
    final: final ? [...sealed, ...Object.keys(own)] : sealed
  }
}

/** Returns a new, empty call. */
export function newCall(callSid: string, now = isoTime()): StoredCall {
  return { callSid, data: NO_DATA, listens: NO_LISTENS, createdAt: now, updatedAt: now }
}

/** Returns a new listen with jambonz' own defaults. */
export function newListen(callSid: string, id: string, now = isoTime()): StoredListen {
  return {
    id,
    callSid,
    path: '',
    state: 'expected',
    connected: false,
    mixType: 'mono',
    sampleRate: 8000,
    channels: 1,
    createdAt: now,
    audio: NO_AUDIO
  }
}

/**
 * Returns a new frozen snapshot of the call with the patch, as JSON keeps it; `call` itself stays unchanged. Throws
 * FST_JAMBONZ_CALL_DATA if the patch is no JSON.
 */
export function applyPatch(call: StoredCall, patch: CallPatch, now = isoTime()): StoredCall {
  try {
    const next: { -readonly [Name in keyof StoredCall]: StoredCall[Name] } = merged(call, patch.call)
    next.updatedAt = now
    if (patch.data !== undefined) next.data = Object.freeze({ ...call.data, ...frozenJson(patch.data) })
    if (patch.listens !== undefined) next.listens = patchListens(call, patch.listens, now)
    return Object.freeze(next)
  } catch (err) {
    throw new ERR_CALL_DATA(call.callSid, thrownMessage(err))
  }
}

function patchListens(
  call: StoredCall,
  patches: readonly ListenPatch[],
  now: string
): readonly StoredListen[] {
  const listens = [...call.listens]
  for (const patch of patches) {
    const at = listens.findIndex(({ id }) => id === patch.id)
    const before = listens[at] ?? newListen(call.callSid, patch.id, now)
    const next = merged(before, patch as object)
    listens[at === -1 ? listens.length : at] = Object.freeze(hasNull(next, patch) ? withoutNulls(next) : next)
  }
  return Object.freeze(listens)
}

/** Returns true if one of the fields that were patched is null now, as JSON writes NaN and an invalid Date, too. */
function hasNull(listen: StoredListen, patched: object): boolean {
  for (const name in patched) if (listen[name as keyof StoredListen] === null) return true
  return false
}

function withoutNulls(listen: StoredListen): StoredListen {
  return Object.fromEntries(
    Object.entries(listen).filter(([, value]) => value !== null)
  ) as unknown as StoredListen
}

/**
 * Merges fields: copies all at once, then freezes the values that are no scalars. This is many times faster
 * than a spread, or than one field at a time.
 */
function merged<T extends object>(target: T, fields: Partial<NoInfer<T>> = {}): T {
  const next: T = Object.assign({}, target, fields)
  for (const name of Object.keys(fields) as Array<keyof T>) {
    if (isScalar(next[name])) continue
    const value = frozenJson(next[name])
    // JSON omits this value, so the field stays unchanged.
    if (value === undefined) return Object.assign({}, target, frozenJson(fields))
    next[name] = value
  }
  return next
}

/** Returns the call's listen with this id. */
export function listenIn(call: StoredCall | undefined, listenId: string): StoredListen | undefined {
  return call?.listens.find(({ id }) => id === listenId)
}

/** A call and one of its listens. */
export interface Correlated {
  call: StoredCall
  listen: StoredListen
}

/** Returns the call with its listen of that id. Throws if the call has no such listen. */
export function correlated(call: StoredCall, listenId: string): Correlated {
  const listen = listenIn(call, listenId)
  if (listen === undefined) throw new Error(`the store lost listen ${listenId} of call ${call.callSid}`)
  return { call, listen }
}
