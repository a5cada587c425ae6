import { ERR_CALL_DATA } from './errors.js'
import { deepFreeze, frozenJson, isScalar } from './frozenJson.js'
import type { Call, Listen } from './schema.js'

/**
 * Fields of one write: JSON. Fields that are not named, or undefined, stay as they are, also when another instance
 * writes them meanwhile. What is not JSON rejects the write with FST_JAMBONZ_CALL_DATA.
 */
export interface CallPatch {
  /** fields of the call itself */
  call?: Partial<Omit<Call, 'callSid' | 'data' | 'listens'>>
  /** merged key by key into `call.data` */
  data?: Record<string, unknown>
  /** fields of listens, each once; a listen the call does not have yet is added */
  listens?: readonly ListenPatch[]
}

/** Fields of the listen that it names. */
export type ListenPatch = Pick<Listen, 'id'> & Partial<Listen>

const NO_AUDIO = Object.freeze({ frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 })
const NO_DATA = Object.freeze({})
const NO_LISTENS = Object.freeze([]) as unknown as Listen[]

export function newCall(callSid: string, now = new Date().toISOString()): Call {
  return { callSid, data: NO_DATA, listens: NO_LISTENS, createdAt: now, updatedAt: now }
}

/** A listen nobody has written anything of yet: jambonz' own defaults. */
export function newListen(callSid: string, id: string, now = new Date().toISOString()): Listen {
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
 * The call with what JSON keeps of the patch, as a new frozen snapshot; `call` itself stays as it was. Throws
 * FST_JAMBONZ_CALL_DATA where the patch is no JSON (a BigInt, a circle).
 */
export function applyPatch(call: Call, patch: CallPatch, now = new Date().toISOString()): Call {
  try {
    const next = merged(call, patch.call)
    next.updatedAt = now
    if (patch.data !== undefined) next.data = Object.freeze({ ...call.data, ...frozenJson(patch.data) })
    if (patch.listens !== undefined) next.listens = patchListens(call, patch.listens, now)
    return Object.freeze(next)
  } catch (err) {
    throw new ERR_CALL_DATA(call.callSid, err instanceof Error ? err.message : String(err))
  }
}

function patchListens(call: Call, patches: readonly ListenPatch[], now: string): Listen[] {
  const listens = [...call.listens]
  for (const patch of patches) {
    const at = listens.findIndex(({ id }) => id === patch.id)
    listens[at === -1 ? listens.length : at] = Object.freeze(
      merged(listens[at] ?? newListen(call.callSid, patch.id, now), patch)
    )
  }
  return Object.freeze(listens) as Listen[]
}

/** Assigned at once and then mended: spread, or field by field, takes engines many times as long. */
function merged<T extends object>(target: T, fields: Partial<NoInfer<T>> = {}): T {
  const next: T = Object.assign({}, target, fields)
  for (const name of Object.keys(fields) as Array<keyof T>) {
    if (isScalar(next[name])) continue
    const value = frozenJson(next[name])
    // JSON keeps nothing of it, and it stays as it was.
    if (value === undefined) return Object.assign({}, target, frozenJson(fields))
    next[name] = value
  }
  return next
}

/** The call with the listen to be claimed once more. */
export function reopenListen(call: Call, listenId: string): Call {
  return freezeCall({
    ...call,
    listens: call.listens.map((listen) => {
      if (listen.id !== listenId) return listen
      const { instance, ...fields } = listen
      return { ...fields, state: 'expected' }
    })
  })
}

export function listenIn(call: Call | undefined, listenId: string): Listen | undefined {
  return call?.listens.find(({ id }) => id === listenId)
}

export function hasEnded(call: Call, listenId: string): boolean {
  return listenIn(call, listenId)?.state === 'ended'
}

/** Its socket was handed over, and the next one has not come. */
export function isOpenAgain(listen: Listen): boolean {
  return listen.state === 'expected' && listen.instance === undefined && listen.segments !== undefined
}

/** Its first or next socket has not come, and jambonz is asked for it once more. */
export function isOffered(listen: Listen): boolean {
  return (
    isOpenAgain(listen) ||
    (listen.state === 'expected' && listen.instance === undefined && listen.refused === true)
  )
}

/** A socket has had the listen, or none will. */
export function isClaimed(call: Call, listenId: string): boolean {
  const listen = listenIn(call, listenId)
  return listen !== undefined && (listen.instance !== undefined || listen.state === 'ended')
}

/** Snapshots are shared between requests: writing to one is a mistake that must show at once. */
export function freezeCall(call: Call): Call {
  return deepFreeze(call)
}
