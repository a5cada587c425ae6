import { setTimeout as delay } from 'node:timers/promises'
import { isFinal, type CallFields } from '../model/callFields.js'
import { listenIn, newListen } from '../model/callWrite.js'
import { callSidOf } from '../model/listenId.js'
import {
  endReasonPart,
  hookPart,
  hookParts,
  isOffered,
  reasonOfHook,
  type HookSays
} from '../model/listenLife.js'
import type { StoredCall, StoredListen } from '../model/schema.js'
import { correlated, type Correlated, type Correlation } from './Correlation.js'
import { nextOffer, verbsToGoOn } from './handover.js'

/** ms an actionHook waits for the end of its listen; then `listen.state` says how far it got. */
const HOOK_WAIT = 5_000

/** An actionHook, received over HTTP or a websocket. */
export interface HookReport extends HookSays {
  /** the listen that its url names */
  listenId?: string
  /** the verb's own id, or the listen's */
  verbId?: string
  /** of the call it is about; undefined with a GET hook, which has no payload */
  call?: { callSid: string; fields: CallFields }
  /** false for a hook of another verb than listen */
  isOfListen: boolean
}

/** The outcome of an actionHook. No `call`: the call is not known. */
export interface HookOutcome {
  call?: StoredCall
  /** the listen as its handler is to see it */
  listen?: StoredListen
  /** The listen goes on: jambonz is answered with these, and no handler runs. */
  goesOn?: { verbs: object[]; offers: number }
}

/**
 * An actionHook has come: the whole way, from what it says to what its handler sees.
 * 1. Which listen it is about. 2. What it says is written; one that has ended needs nothing more. 3. Else its end is
 * waited for, on whichever instance its socket is. 4. One that was handed over goes on. 5. One whose socket never came
 * ends here.
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
  /** of the hook's call, or the listen's; undefined where nobody knows it */
  call: StoredCall | undefined
  /** the listen's call knows the listen, and has been told what the hook says */
  isKnown: boolean
  /** false: the store is away, others may know more */
  kept: boolean
}

/** Writes what the hook says of its call and its listen, in one step where it is the same call. */
async function said(correlation: Correlation, listenId: string, report: HookReport): Promise<Said> {
  const { call: about } = report
  const callSid = callSidOf(listenId)
  const parts = hookParts(listenId, report)
  if (about !== undefined && about.callSid === callSid) {
    // What its end has said of the call is the last word.
    const { applied, call, kept } = await correlation.writeOf(callSid, about.fields, parts)
    return { call, isKnown: applied.at(-1) === true, kept }
  }
  const other = about && (await correlation.arrived(about.callSid, about.fields))
  if (callSid === undefined) return { call: other, isKnown: false, kept: true }
  const { applied, call, kept } = await correlation.store.write(callSid, parts)
  return applied.at(-1) ? { call, isKnown: true, kept } : { call: other, isKnown: false, kept }
}

/** Resolves to the listen as soon as nothing more comes of its socket; undefined when no such listen is known. */
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
  correlation.awaited(listenId)
  // While the store is away its instance may be the one that knows the listen; it tells as soon as it can.
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

/** Its audio is complete, or another socket is to open, or none comes: a hook without a duration tells of none. */
function isSettled(listen: StoredListen, { duration }: HookReport): boolean {
  const mayYetConnect = listen.instance !== undefined || duration !== undefined
  return listen.state === 'ended' || isOffered(listen) || !mayYetConnect
}

/** The listen was handed over, or refused by an instance that is going: jambonz is asked for its next socket. */
async function offered(
  { store, deps }: Correlation,
  { call, listen }: Correlated,
  report: HookReport
): Promise<HookOutcome | undefined> {
  const isOver = call.endedAt !== undefined || isFinal(report.call?.fields.callStatus)
  if (!isOffered(listen) || isOver) return undefined
  const offer = nextOffer(listen)
  const verbs = offer && verbsToGoOn(call, listen, deps.auth, deps)
  if (offer === undefined || verbs === undefined) return undefined
  const { offers, delayMs } = offer
  const written = await store.write(listen.callSid, [
    hookPart(listen.id, { duration: report.duration }, { offers, refused: false })
  ])
  await delay(delayMs)
  return { ...correlated(written.call, listen.id), goesOn: { verbs, offers } }
}

/** The listen is over, and the hook's handler is to see it so. */
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
  // While the store is away another instance may hold its socket, unless the hook says that there was none.
  const isSure = kept || (report.call !== undefined && report.duration === undefined)
  if (listen.state === 'expected' && (isSure || isOffered(listen))) {
    ;({ call, listen } = await correlation.neverCame(listen))
  }
  const reason = reasonOfHook(report, listen)
  if (reason !== undefined && listen.endReason === 'closed') {
    const written = await store.write(callSid, [endReasonPart(id, reason)])
    ;({ call, listen } = correlated(written.call, id))
  }
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
