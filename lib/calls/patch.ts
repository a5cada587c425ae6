import { ERR_CALL_DATA } from '../errors.js'
import type { CallPatch } from './CallStore.js'
import { deepFreeze, frozenJson } from './frozenJson.js'
import type { Call, Listen } from './schema.js'

const NO_AUDIO = Object.freeze({ frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 })
const NO_DATA = Object.freeze({})
const NO_LISTENS = Object.freeze([]) as unknown as Listen[]

export function newCall (callSid: string, now = new Date().toISOString()): Call {
  return { callSid, data: NO_DATA, listens: NO_LISTENS, createdAt: now, updatedAt: now }
}

/**
 * Listens for a patch. Without a prototype, since an engine makes no class of such an object: one whose only key is an
 * id is a class of its own, and thousands of them slow all others down.
 */
export function byId (listens: ReadonlyArray<Partial<Listen> & Pick<Listen, 'id'>>): NonNullable<CallPatch['listens']> {
  const patches: NonNullable<CallPatch['listens']> = Object.create(null)
  for (const listen of listens) patches[listen.id] = listen
  return patches
}

/** A listen nobody has written anything of yet: jambonz' own defaults. */
export function newListen (callSid: string, id: string, now = new Date().toISOString()): Listen {
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
export function applyPatch (call: Call, patch: CallPatch): Call {
  try {
    const updatedAt = new Date().toISOString()
    return merge<Call>(call, {
      ...(patch.data !== undefined && { data: Object.freeze({ ...call.data, ...frozenJson(patch.data) }) }),
      ...(patch.listens !== undefined && { listens: patchListens(call, patch.listens, updatedAt) }),
      updatedAt
    }, patch.call)
  } catch (err) {
    throw new ERR_CALL_DATA(call.callSid, err instanceof Error ? err.message : String(err))
  }
}

function patchListens (call: Call, patches: NonNullable<CallPatch['listens']>, now: string): Listen[] {
  const listens = call.listens.map((listen) => {
    const patch = patches[listen.id]
    return patch === undefined ? listen : merge(listen, patch)
  })
  for (const id of Object.keys(patches)) {
    if (!call.listens.some((listen) => listen.id === id)) listens.push(merge(newListen(call.callSid, id, now), patches[id]))
  }
  return Object.freeze(listens) as Listen[]
}

/** Assigned rather than spread, which takes engines many times as long. */
function merge<T extends object> (target: T, ...fields: Array<Partial<NoInfer<T>> | undefined>): T {
  return Object.freeze(Object.assign({}, target, ...fields.map((one) => frozenJson(one)))) as T
}

/** The call with the listen to be claimed once more. */
export function reopenListen (call: Call, listenId: string): Call {
  return freezeCall({
    ...call,
    listens: call.listens.map((listen) => {
      if (listen.id !== listenId) return listen
      const { instance, ...fields } = listen
      return { ...fields, state: 'expected' }
    })
  })
}

export function listenIn (call: Call | undefined, listenId: string): Listen | undefined {
  return call?.listens.find(({ id }) => id === listenId)
}

export function hasEnded (call: Call, listenId: string): boolean {
  return listenIn(call, listenId)?.state === 'ended'
}

/** Its socket was handed over, and the next one has not come. */
export function isOpenAgain (listen: Listen): boolean {
  return listen.state === 'expected' && listen.instance === undefined && listen.segments !== undefined
}

/** Its first or next socket has not come, and jambonz is asked for it once more. */
export function isOffered (listen: Listen): boolean {
  return isOpenAgain(listen) || (listen.state === 'expected' && listen.instance === undefined && listen.refused === true)
}

/** A socket has had the listen, or none will. */
export function isClaimed (call: Call, listenId: string): boolean {
  const listen = listenIn(call, listenId)
  return listen !== undefined && (listen.instance !== undefined || listen.state === 'ended')
}

/** Snapshots are shared between requests: writing to one is a mistake that must show at once. */
export function freezeCall (call: Call): Call {
  return deepFreeze(call)
}
