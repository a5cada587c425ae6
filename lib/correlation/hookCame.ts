import { setTimeout as delay } from 'node:timers/promises'
import { isFinal, type CallFields } from '../model/payloads.js'
import { listenIn, newListen } from '../model/callWrite.js'
import { callSidOf } from '../model/tokens.js'
import {
  awaitsKey,
  endReasonPart,
  hookPart,
  isOffered,
  keyPart,
  reasonOfHook,
  type HookSays
} from '../model/listenLife.js'
import type { StoredCall, StoredListen } from '../model/schema.js'
import { correlated, type Correlated, type Correlation, type Message } from './Correlation.js'
import type { CallStore } from '../store/CallStore.js'
import { hasOurHook, nextOffer, verbsToGoOn, waitingBackgrounds } from './handover.js'

/** ms that an actionHook waits for the end of its listen; after that `listen.state` tells the handler its state. */
const HOOK_WAIT = 5_000
/** ms that the sockets of a call's background listens may close after that of the foreground; jambonz needs 80 */
const BACKGROUND_WAIT = 500

/** An actionHook, received over HTTP or a websocket. */
export interface HookReport extends HookSays {
  /** the listen that its url names */
  listenId?: string
  /** the verb's own id, or the listen's */
  verbId?: string
  /** the hook's call; undefined for a GET hook, which has no payload */
  call?: { callSid: string; fields: CallFields }
  /** false for a hook of another verb than listen */
  isOfListen: boolean
}

/** The outcome of an actionHook. No `call`: the call is not known. */
export interface HookOutcome {
  call?: StoredCall
  /** the listen as its handler is to see it */
  listen?: StoredListen
  /** The answer to jambonz if the listen goes on; no handler runs then. */
  goesOn?: { verbs: object[]; offers: number }
}

/**
 * Handles an actionHook, from its fields to the outcome for its handler.
 * 1. Finds the listen. 2. Writes the hook's fields; if the listen has ended, that is all. 3. Else waits for its end, on
 * whichever instance its socket is. 4. Offers a listen that was handed over to jambonz again. 5. Ends a listen whose
 * socket never came.
 */
export async function hookCame(correlation: Correlation, report: HookReport): Promise<HookOutcome> {
  const { call: about, listenId: named } = report
  if (named !== undefined) return await ofListen(correlation, named, report)
  if (about === undefined) return {}
  const call = await correlation.arrived(about.callSid, about.fields)
  const listenId = report.isOfListen ? latestListen(call, report.verbId)?.id : undefined
  return listenId === undefined ? { call } : await ofListen(correlation, listenId, report)
}

async function ofListen(
  correlation: Correlation,
  listenId: string,
  report: HookReport
): Promise<HookOutcome> {
  const first = await said(correlation, listenId, report)
  const settled = await settledListen(correlation, listenId, report, first)
  if (settled === undefined) return first.call === undefined ? {} : { call: first.call }
  const goesOn = await offered(correlation, settled, report)
  if (goesOn !== undefined) return goesOn
  return await over(correlation, settled, report, first)
}

interface Said {
  /** the hook's call, or the listen's; undefined if it is unknown */
  call: StoredCall | undefined
  /** the call has the listen, and the hook's fields are written */
  isKnown: boolean
  /** false: the store is away, other instances may know more */
  kept: boolean
}

/** Writes the hook's fields of its call and its listen, in one step if both are of the same call. */
async function said(correlation: Correlation, listenId: string, report: HookReport): Promise<Said> {
  const { call: about, digits } = report
  const callSid = callSidOf(listenId)
  const key = digits === undefined ? [] : [keyPart(listenId, digits)]
  const parts = [...key, hookPart(listenId, report)]
  if (about !== undefined && about.callSid === callSid) {
    // The write that ended a call was its last.
    const { applied, call, kept } = await correlation.writeOf(callSid, about.fields, parts)
    return { call, isKnown: applied.at(-1) === true, kept }
  }
  const other = about && (await correlation.arrived(about.callSid, about.fields))
  if (callSid === undefined) return { call: other, isKnown: false, kept: true }
  const { applied, call, kept } = await correlation.store.write(callSid, parts)
  return applied.at(-1) ? { call, isKnown: true, kept } : { call: other, isKnown: false, kept }
}

/** Resolves to the listen once its socket brings nothing more; undefined if the listen is unknown. */
async function settledListen(
  correlation: Correlation,
  listenId: string,
  report: HookReport,
  first: Said
): Promise<Correlated | undefined> {
  const known = first.isKnown ? listenIn(first.call, listenId) : undefined
  if (first.call && known && isSettled(known, report)) return { call: first.call, listen: known }
  const callSid = callSidOf(listenId)
  if (callSid === undefined || (known === undefined && first.kept)) return undefined
  readToEnd(correlation, listenId)
  // While the store is away, another instance may have the listen; it writes it as soon as it can.
  const call = await correlation.store.waitFor(
    callSid,
    listenId,
    (now) => (now === undefined ? first.kept : isSettled(now, report)),
    HOOK_WAIT
  )
  const listen = listenIn(call, listenId)
  if (call && listen) return { call, listen }
  const own = call ?? (first.call?.callSid === callSid ? first.call : undefined)
  return first.kept || own === undefined ? undefined : { call: own, listen: newListen(callSid, listenId) }
}

/**
 * Returns true if the listen's audio is complete, its next socket is to open, or none comes: a hook without duration
 * means none.
 */
function isSettled(listen: StoredListen, { duration }: HookReport): boolean {
  const mayYetConnect = listen.instance !== undefined || duration !== undefined
  return listen.state === 'ended' || isOffered(listen) || !mayYetConnect
}

/**
 * Asks jambonz for the next socket of a listen that was handed over, or refused by an instance that closes, and of the
 * background listens that went with it. A listen that a key ended is over.
 */
async function offered(
  { store, deps }: Correlation,
  settled: Correlated,
  report: HookReport
): Promise<HookOutcome | undefined> {
  const { listen } = settled
  if (!isOffered(listen) || report.digits !== undefined || isOver(settled.call, report)) return undefined
  const call = await backgroundsSettled(store, settled.call)
  const offer = nextOffer(listen)
  const verbs = offer && verbsToGoOn(call, listen, deps.auth, deps)
  if (offer === undefined || verbs === undefined || isOver(call, report)) return undefined
  const { offers, delayMs } = offer
  const written = await store.write(listen.callSid, [
    hookPart(listen.id, { duration: report.duration }, { offers, refused: false }),
    ...waitingBackgrounds(call).map(({ id, offers = 0 }) => ({
      patch: { listens: [{ id, offers: offers + 1, refused: false }] }
    }))
  ])
  await delay(delayMs)
  return { ...correlated(written.call, listen.id), goesOn: { verbs, offers } }
}

function isOver(call: StoredCall, report: HookReport): boolean {
  return call.endedAt !== undefined || isFinal(report.call?.fields.callStatus)
}

/** Resolves to the call once its background listens, whose sockets closed with this one, wait for their next, or soon. */
async function backgroundsSettled(store: CallStore, call: StoredCall): Promise<StoredCall> {
  const open = call.listens.filter(
    ({ state, background }) => background !== undefined && state === 'streaming'
  )
  const settled = open.map(({ callSid, id }) =>
    store.waitFor(callSid, id, (now) => now?.state !== 'streaming', BACKGROUND_WAIT)
  )
  return (await Promise.all(settled)).length === 0 ? call : ((await store.get(call.callSid)) ?? call)
}

/** Ends a listen that is over, so that the hook's handler sees it ended. */
async function over(
  correlation: Correlation,
  settled: Correlated,
  report: HookReport,
  { isKnown, kept }: Said
): Promise<HookOutcome> {
  const { store } = correlation
  const { callSid, id } = settled.listen
  let { call, listen } = settled
  if (!isKnown) {
    const { patch } = hookPart(id, report)
    ;({ call, listen } = correlated((await store.write(callSid, [{ patch }])).call, id))
  }
  // While the store is away, another instance may hold its socket, unless the hook tells that there was none.
  const isSure = kept || (report.call !== undefined && report.duration === undefined)
  if (listen.state === 'expected' && (isSure || isOffered(listen))) {
    ;({ call, listen } = await correlation.neverCame(listen))
  }
  const { digits } = report
  const reason =
    listen.endReason === 'closed'
      ? reasonOfHook({ keyed: listen.keyed, duration: report.duration }, listen)
      : undefined
  const parts = [
    ...(reason === undefined ? [] : [endReasonPart(id, reason)]),
    ...(digits !== undefined && awaitsKey(listen) ? [keyPart(id, digits)] : [])
  ]
  if (parts.length > 0) ({ call, listen } = correlated((await store.write(callSid, parts)).call, id))
  return { call, listen }
}

/** Returns the listen of a hook that does not name it: the latest of the call that has not ended, else the latest. */
function latestListen(call: StoredCall, verbId: string | undefined): StoredListen | undefined {
  const { listens } = call
  return (
    listens.find(({ id, verbId: own }) => verbId !== undefined && (own === verbId || id === verbId)) ??
    listens.findLast(({ state, nested }) => state !== 'ended' && nested !== 'config') ??
    listens.at(-1)
  )
}

/** Asks the instance that holds the listen's socket to read it to its end at once. */
function readToEnd({ deps, store }: Correlation, listenId: string): void {
  deps.readToEnd(listenId)
  store.tell({ awaited: listenId } satisfies Message)
}

/** Resolves when a hook of the listen has come to any instance since `listen` was read, or after `ms`. */
export async function hooked(
  { deps, store }: Correlation,
  call: StoredCall,
  listen: StoredListen,
  ms: number
): Promise<void> {
  if (!hasOurHook(call, listen, deps.hookPaths)) return
  const { callSid, id, hookedAt } = listen
  await store.waitFor(callSid, id, (now) => now === undefined || now.hookedAt !== hookedAt, ms)
}
