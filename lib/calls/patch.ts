import { ERR_CALL_DATA } from '../errors.js'
import type { CallPatch } from './CallStore.js'
import type { Call, Listen } from './schema.js'

const NO_AUDIO = { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 }

export function newCall (callSid: string, now = new Date().toISOString()): Call {
  return { callSid, data: {}, listens: [], createdAt: now, updatedAt: now }
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
    audio: { ...NO_AUDIO }
  }
}

/** What JSON keeps of the patch. Throws FST_JAMBONZ_CALL_DATA where it is no JSON (a BigInt, a circle). */
export function asJson (callSid: string, patch: CallPatch): CallPatch {
  try {
    return JSON.parse(JSON.stringify(patch)) as CallPatch
  } catch (err) {
    throw new ERR_CALL_DATA(callSid, err instanceof Error ? err.message : String(err))
  }
}

/** The call with the patch applied, as a new frozen snapshot; `call` itself stays as it was. */
export function applyPatch (call: Call, patch: CallPatch): Call {
  const now = new Date().toISOString()
  return freezeCall({
    ...call,
    ...patch.call,
    data: { ...call.data, ...patch.data },
    listens: patch.listens === undefined ? call.listens : patchListens(call, patch.listens, now),
    updatedAt: now
  })
}

function patchListens (call: Call, patches: NonNullable<CallPatch['listens']>, now: string): Listen[] {
  const known = new Set(call.listens.map(({ id }) => id))
  const added = Object.keys(patches).filter((id) => !known.has(id)).map((id) => newListen(call.callSid, id, now))
  return [...call.listens, ...added].map((listen) => {
    const patch = patches[listen.id]
    return patch === undefined ? listen : { ...listen, ...patch }
  })
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

export function hasEnded (call: Call, listenId: string): boolean {
  return call.listens.find(({ id }) => id === listenId)?.state === 'ended'
}

/** Its socket was handed over, and the next one has not come. */
export function isOpenAgain (listen: Listen): boolean {
  return listen.state === 'expected' && listen.instance === undefined && listen.segments !== undefined
}

/** Its first or next socket has not come, and jambonz is asked for it once more. */
export function isOffered (listen: Listen): boolean {
  return isOpenAgain(listen) || (listen.state === 'expected' && listen.refused === true)
}

/** Nothing more comes of the socket it had. */
export function isSettled (call: Call, listenId: string): boolean {
  const listen = call.listens.find(({ id }) => id === listenId)
  return listen !== undefined && (listen.state === 'ended' || isOpenAgain(listen))
}

/** A socket has had the listen, or none will. */
export function isClaimed (call: Call, listenId: string): boolean {
  const listen = call.listens.find(({ id }) => id === listenId)
  return listen !== undefined && (listen.instance !== undefined || listen.state === 'ended')
}

/** Snapshots are shared between requests: writing to one is a mistake that must show at once. */
export function freezeCall (call: Call): Call {
  return deepFreeze(call)
}

function deepFreeze<T> (value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
