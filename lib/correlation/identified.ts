import { randomUUID } from 'node:crypto'
import { callFieldsOfMetadata, formatOf } from '../model/payloads.js'
import { correlated, listenIn, newListen, type Correlated } from '../model/callWrite.js'
import { callSidOf, checkCallSid, createListenId } from '../model/tokens.js'
import { stageOf, type HookSays } from '../model/listenLife.js'
import type { StoredCall, StoredListen } from '../model/schema.js'
import type { CallStore } from '../store/CallStore.js'
import type { Correlation } from './Correlation.js'
import { wallClock } from '../model/time.js'

/** Maximum number of listens in one room or conference. Further sockets are refused. */
const MAX_MEMBERS = 500

/** A socket whose path names no listen. */
export interface UnnamedSocket {
  /** metadata of its first frame, with `callSid` */
  metadata: Readonly<Record<string, unknown>>
  /** key of the metadata whose value is the listen id, if a verb of ours asked for the socket */
  metadataKey: string
  /** path of the audio route */
  path: string
}

/**
 * Resolves to the listen of a socket whose path names no listen (option `strict: false`). Claims the listen
 * whose id is in the metadata or, if it can't be claimed, an open listen of the same call or leg. If no
 * listen can be claimed, creates a listen, for a call that another application set up.
 */
export async function identified(correlation: Correlation, socket: UnnamedSocket): Promise<Correlated> {
  const { issuer } = correlation
  for (const listenId of await candidates(correlation.store, socket)) {
    const claim = await correlation.claimed({ listenId, unknown: false, paused: false, issuer })
    if (claim.outcome === 'claimed') return claim
  }
  return await adopted(correlation, socket)
}

/** Resolves to the ids of the listens that the socket may be for, the likeliest first. */
async function candidates(
  store: CallStore,
  { metadata, metadataKey, path }: UnnamedSocket
): Promise<string[]> {
  const named = metadata[metadataKey]
  const callSid = typeof named === 'string' ? callSidOf(named) : undefined
  const found: string[] = []
  if (callSid !== undefined && typeof named === 'string') {
    if (listenIn(await store.get(callSid), named)) found.push(named)
  }
  for (const sid of [metadata.callSid, metadata.parentCallSid]) {
    const call = typeof sid === 'string' ? await store.get(sid) : undefined
    const open = (call?.listens ?? []).filter(
      (listen) => (stageOf(listen) === 'expected' || stageOf(listen) === 'open again') && listen.path === path
    )
    found.push(...open.reverse().map(({ id }) => id))
  }
  return found
}

async function adopted(correlation: Correlation, { metadata, path }: UnnamedSocket): Promise<Correlated> {
  const { secret, instance } = correlation.deps
  const callSid = String(metadata.callSid)
  checkCallSid(callSid)
  const id = createListenId(secret, callSid, `${path}\n${wallClock()}\n${Math.random()}`)
  const { call } = await correlation.writeOf(callSid, callFieldsOfMetadata(metadata), [
    { patch: { listens: [{ id, path, ...formatOf(metadata), instance }] } }
  ])
  return correlated(call, id)
}

/**
 * Resolves to a new listen, claimed by this instance, for a further socket on the path of a listen in a room
 * or a conference. jambonz 11 opens a socket for each member, all with one url. Resolves to undefined for any
 * other listen, since its path is valid for one socket only.
 */
export async function joinedRoom(
  { store, deps }: Correlation,
  listenId: string
): Promise<Correlated | undefined> {
  const callSid = callSidOf(listenId)
  const call = callSid === undefined ? undefined : await store.get(callSid)
  const first = listenIn(call, listenId)
  if (call === undefined || (first?.nested !== 'room' && first?.nested !== 'conference')) return undefined
  const members = call.listens.filter(({ nested }) => nested === first.nested)
  if (members.length >= MAX_MEMBERS) return undefined
  const { callSid: own, path, nested, mixType, sampleRate, channels, metadata, trace } = first
  const { finishOnKey, timeout, maxLength, passDtmf, bidirectional } = first
  const id = createListenId(deps.secret, own, `${listenId}\n${randomUUID()}`)
  const asked = { path, nested, mixType, sampleRate, channels, metadata, trace }
  const rules = { finishOnKey, timeout, maxLength, passDtmf, bidirectional }
  const { call: written } = await store.write(own, [
    { patch: { listens: [{ id, ...asked, ...rules, instance: deps.instance }] } }
  ])
  return correlated(written, id)
}

/**
 * Returns the listen that a hook without a listen id is for: the listen with the verb's id, or else the latest open
 * listen, or else the latest listen.
 */
export function latestListen(call: StoredCall, verbId: string | undefined): StoredListen | undefined {
  const { listens } = call
  return (
    listens.find(
      ({ id, verbId: idOfVerb }) => verbId !== undefined && (idOfVerb === verbId || id === verbId)
    ) ??
    listens.findLast(({ state, nested }) => state !== 'ended' && nested !== 'config') ??
    listens.at(-1)
  )
}

/**
 * Returns the ended listen of a hook, for a listen that the store has dropped. It has no key, which may have been
 * pressed in a pause.
 */
export function droppedListen(listenId: string, { duration }: HookSays): StoredListen | undefined {
  const callSid = callSidOf(listenId)
  if (callSid === undefined) return undefined
  return {
    ...newListen(callSid, listenId),
    state: 'ended',
    connected: duration !== undefined,
    endReason: duration === undefined ? 'notConnected' : 'lost',
    ...(duration !== undefined && { reportedDuration: duration })
  }
}
