import { setTimeout as delay } from 'node:timers/promises'
import { isFinal, type CallFields } from '../model/payloads.js'
import { correlated, listenIn, newListen, type Correlated, type WritePart } from '../model/callWrite.js'
import { wallClock } from '../model/time.js'
import { callSidOf } from '../model/tokens.js'
import {
  awaitsKey,
  HOOK_WAIT,
  hookPart,
  isOffered,
  isOpen,
  keyPart,
  wasRefused,
  type HookSays
} from '../model/listenLife.js'
import type { EndReason, StoredCall, StoredListen } from '../model/schema.js'
import type { Correlation, Message } from './Correlation.js'
import { endUnlessHeld, hookReasonParts } from './endReasons.js'
import { droppedListen, latestListen } from './identified.js'
import type { CallStore } from '../store/CallStore.js'
import {
  hasOurHook,
  nextOffer,
  openBackgrounds,
  restartOf,
  verbsToGoOn,
  waitingBackgrounds,
  type Restart
} from './handover.js'

/**
 * ms to wait until the background listens of a call wait for their next sockets, too. Normally this takes 80 ms. It takes
 * longer if the instance that holds a background socket is busy. Without the wait, its recording would stop.
 */
const BACKGROUND_WAIT = 2_000
/** ms to wait for the other sockets of an answer one of whose sockets was refused; normally they come within 100 ms */
const SOCKETS_WAIT = 2_000

/** An actionHook, received over HTTP or a websocket. */
export interface HookReport extends HookSays {
  /** the listen id in the url of the hook */
  listenId?: string
  /** `verb_id` in the payload: the id that the application gave the verb, or the listen id */
  verbId?: string
  /** the hook's call; undefined for a GET hook, which has no payload */
  call?: { callSid: string; fields: CallFields }
  /** true for the actionHook of a listen; false for the hook of another verb */
  isOfListen: boolean
}

/** The outcome of an actionHook. Without `call`, the call is unknown. */
export interface HookOutcome {
  call?: StoredCall
  /** the listen for the handler */
  listen?: StoredListen
  /** The answer to jambonz if the listen goes on. No handler runs then. */
  goesOn?: { verbs: object[]; offers: number }
  /** The verbs to answer beside those of the handler if background listens go on. */
  restart?: Restart
}

/**
 * Handles an actionHook. Resolves to the outcome for its handler. 1. Finds the listen. 2. Writes the hook's fields. 3.
 * Waits for the end of the listen, on whichever instance its socket is. 4. If the listen was handed over, asks jambonz
 * for it again. 5. Ends a listen whose socket never came.
 */
export async function hookCame(correlation: Correlation, report: HookReport): Promise<HookOutcome> {
  const { call: hookCall, listenId: idInUrl } = report
  if (idInUrl !== undefined) return await hookOfListen(correlation, idInUrl, report)
  if (hookCall === undefined) return {}
  const call = await correlation.arrived(hookCall.callSid, hookCall.fields)
  const listenId = report.isOfListen ? latestListen(call, report.verbId)?.id : undefined
  return listenId === undefined ? { call } : await hookOfListen(correlation, listenId, report)
}

async function hookOfListen(
  correlation: Correlation,
  listenId: string,
  report: HookReport
): Promise<HookOutcome> {
  const written = await failedTogether(
    correlation,
    listenId,
    report,
    await writeHook(correlation, listenId, report)
  )
  const settled = await settledListen(correlation, listenId, report, written)
  if (settled === undefined) {
    return written.call === undefined ? {} : { call: written.call, listen: droppedListen(listenId, report) }
  }
  const goesOn = await offerAgain(correlation, settled, report)
  if (goesOn !== undefined) return goesOn
  const ended = await endedListen(correlation, settled, report, written)
  return { ...ended, restart: await restartBackgrounds(correlation, settled.listen, ended, report) }
}

interface WrittenHook {
  /** the call of the listen; if it is unknown, the call of the hook; undefined if both are unknown */
  call: StoredCall | undefined
  /** true if the call has the listen, so that the hook's fields were written to the listen */
  hasListen: boolean
  /** false if the store is away, so that other instances may know more */
  storeIsUp: boolean
}

/** Writes the hook's fields to its call and its listen, in one step if the listen belongs to that call. */
async function writeHook(
  correlation: Correlation,
  listenId: string,
  report: HookReport
): Promise<WrittenHook> {
  const { call: hookCall, digits } = report
  const callSid = callSidOf(listenId)
  const key = digits === undefined ? [] : [keyPart(listenId, digits)]
  const parts = [...key, hookPart(listenId, report)]
  if (hookCall !== undefined && hookCall.callSid === callSid) {
    // Only the last part counts here, since a call that has ended accepts no more fields of its own.
    const { applied, call, kept: storeIsUp } = await correlation.writeOf(callSid, hookCall.fields, parts)
    return { call, hasListen: applied.at(-1) === true, storeIsUp }
  }
  // Here the hook has no payload, or comes from another leg than the webhook that asked for the listen.
  const call = hookCall && (await correlation.arrived(hookCall.callSid, hookCall.fields))
  if (callSid === undefined) return { call, hasListen: false, storeIsUp: true }
  const write = await correlation.store.write(callSid, parts)
  const hasListen = write.applied.at(-1) === true
  return { call: hasListen ? write.call : call, hasListen, storeIsUp: write.kept }
}

/**
 * Hands over the listen of a hook without a duration, if its socket is open, and jambonz was asked for the listen again.
 * jambonz 0.9 sends such a hook if it could not open the socket of any listen of the call: it then ends all listens of
 * the call, but leaves their sockets open. Before, waits for the sockets that are on their way, so that jambonz is not
 * asked for them twice. Resolves to `written` with the call as it is after that.
 */
async function failedTogether(
  { store, deps }: Correlation,
  listenId: string,
  report: HookReport,
  written: WrittenHook
): Promise<WrittenHook> {
  const { call: before, hasListen } = written
  const mayHaveFailed = report.call !== undefined && report.duration === undefined
  if (before === undefined || !hasListen || !mayHaveFailed || isOver(before, report)) return written
  const call = (await socketsCame(store, before)) ? ((await store.get(before.callSid)) ?? before) : before
  const listen = listenIn(call, listenId)
  if (listen?.state === 'streaming' && (listen.offers ?? 0) > 0) {
    deps.handOver([listenId])
    store.tell({ handsOver: [listenId] } satisfies Message)
  }
  return { ...written, call }
}

/**
 * Waits for the sockets that are on their way in a call one of whose sockets jambonz could not open, for SOCKETS_WAIT at
 * most. If no instance has refused a socket, one of them never reached an instance: its instance has just stopped.
 * Resolves to true if it waited.
 */
async function socketsCame(store: CallStore, call: StoredCall): Promise<boolean> {
  const onTheirWay = call.listens.filter(isOnItsWay)
  let left = onTheirWay.length - (call.listens.some(wasRefused) ? 0 : 1)
  if (left <= 0) return false
  const came = onTheirWay.map(async ({ callSid, id }) => {
    await store.waitFor(callSid, id, (now) => now === undefined || !isOnItsWay(now), SOCKETS_WAIT)
  })
  await new Promise<void>((resolve, reject) => {
    const settled = (): void => {
      if (--left === 0) resolve()
    }
    for (const each of came) each.then(settled, reject)
  })
  return true
}

/** Returns true if jambonz was asked for the listen again, and the socket has neither streamed nor been refused. */
function isOnItsWay(listen: StoredListen): boolean {
  return listen.state === 'expected' && listen.refused === false
}

/** Resolves to the listen once its audio is complete; to undefined if the listen is unknown. */
async function settledListen(
  correlation: Correlation,
  listenId: string,
  report: HookReport,
  written: WrittenHook
): Promise<Correlated | undefined> {
  const { storeIsUp } = written
  const before = written.hasListen ? listenIn(written.call, listenId) : undefined
  if (written.call && before && isSettled(before, report)) return { call: written.call, listen: before }
  const callSid = callSidOf(listenId)
  if (callSid === undefined || (before === undefined && storeIsUp)) return undefined
  readToEnd(correlation, listenId)
  // While the store is away, an unknown listen may be on another instance, which writes it when the store
  // returns. The hook therefore waits for this write.
  const waited = await correlation.store.waitFor(
    callSid,
    listenId,
    (now) => (now === undefined ? storeIsUp : isSettled(now, report)),
    HOOK_WAIT
  )
  const listen = listenIn(waited, listenId)
  if (waited && listen) return { call: waited, listen }
  const call = waited ?? (written.call?.callSid === callSid ? written.call : undefined)
  return storeIsUp || call === undefined ? undefined : { call, listen: newListen(callSid, listenId) }
}

/**
 * Returns true if the hook need not wait for the listen, because the listen has ended, because it waits for
 * its next socket, or because no socket will come. A hook without a duration means that no socket will come.
 */
function isSettled(listen: StoredListen, { duration }: HookReport): boolean {
  const mayYetConnect = listen.instance !== undefined || duration !== undefined
  return listen.state === 'ended' || isOffered(listen) || !mayYetConnect
}

/**
 * Asks jambonz for the next socket of a listen that was handed over, or that a closing instance refused, and
 * for the next sockets of the background listens that ended with the listen. Resolves to undefined if nothing
 * is asked, as for a listen that a key ended.
 */
async function offerAgain(
  correlation: Correlation,
  settled: Correlated,
  report: HookReport
): Promise<HookOutcome | undefined> {
  const { store, deps, issuer } = correlation
  const { listen } = settled
  if (!isOffered(listen) || report.digits !== undefined || isOver(settled.call, report)) return undefined
  // Only an open socket is handed over together with the background listens, not one that jambonz was asked for in vain.
  const wasOpen = listen.refused === undefined
  const call = wasOpen ? await backgroundsSettled(store, settled.call) : settled.call
  const offer = nextOffer(listen)
  const verbs = offer && verbsToGoOn(call, listen, deps.auth, { secret: deps.secret, issuer })
  if (offer === undefined || verbs === undefined || isOver(call, report)) return undefined
  const { offers } = offer
  const offered = { refused: false, watcher: deps.instance, offers }
  const backgrounds = waitingBackgrounds(call)
  const written = await store.write(listen.callSid, [
    hookPart(listen.id, { duration: report.duration }, offered),
    ...backgrounds.map((background) => offerPart(background, deps.instance))
  ])
  await delay(Math.max(...[listen, ...backgrounds].map((each) => nextOffer(each)?.delayMs ?? 0)))
  // If the caller has hung up, neither a socket nor a hook comes, and without a statusHook nothing else reports that.
  for (const { id } of [listen, ...backgrounds]) {
    endUnlessHeld(correlation, correlated(written.call, id).listen)
  }
  return { ...correlated(written.call, listen.id), goesOn: { verbs, offers } }
}

/** Returns the write that jambonz is asked for the next socket of a background listen. */
function offerPart({ id, offers = 0 }: StoredListen, watcher: string): WritePart {
  return { patch: { listens: [{ id, refused: false, watcher, offers: offers + 1 }] }, wakes: [id] }
}

/** The end reasons of a foreground listen after which jambonz runs the verbs that follow it. */
const RUNS_ON: ReadonlySet<EndReason | undefined> = new Set(['finishOnKey', 'maxLength', 'drained'])

/**
 * Asks jambonz, with the answer of the handler, for the next sockets of background listens that were handed over with a
 * foreground listen that has ended, for example because a key was pressed during the handover. Resolves to undefined if
 * no background listen waits. `before`: the foreground listen before it was ended.
 */
async function restartBackgrounds(
  correlation: Correlation,
  before: StoredListen,
  { call: ended, listen }: HookOutcome,
  report: HookReport
): Promise<Restart | undefined> {
  const { store, deps, issuer } = correlation
  if (ended === undefined || listen === undefined || !RUNS_ON.has(listen.endReason)) return undefined
  const call = isOffered(before) ? await backgroundsSettled(store, ended) : ended
  const backgrounds = waitingBackgrounds(call).filter((background) => !isOnItsWay(background))
  if (backgrounds.length === 0 || isOver(call, report)) return undefined
  const restart = restartOf(call, listen, backgrounds, deps.auth, { secret: deps.secret, issuer })
  if (restart === undefined) return undefined
  const written = await store.write(
    call.callSid,
    backgrounds.map((background) => offerPart(background, deps.instance))
  )
  for (const { id } of backgrounds) endUnlessHeld(correlation, correlated(written.call, id).listen)
  return restart
}

function isOver(call: StoredCall, report: HookReport): boolean {
  return call.endedAt !== undefined || isFinal(report.call?.fields.callStatus)
}

/** Resolves to the call once its background listens wait for their next sockets, or after BACKGROUND_WAIT. */
async function backgroundsSettled(store: CallStore, call: StoredCall): Promise<StoredCall> {
  const settled = openBackgrounds(call).map(({ callSid, id }) =>
    store.waitFor(callSid, id, (now) => now === undefined || !isOpen(now), BACKGROUND_WAIT)
  )
  return (await Promise.all(settled)).length === 0 ? call : ((await store.get(call.callSid)) ?? call)
}

/** Ends a listen that is over, so that the handler gets an ended listen. */
async function endedListen(
  correlation: Correlation,
  settled: Correlated,
  report: HookReport,
  { hasListen, storeIsUp }: WrittenHook
): Promise<HookOutcome> {
  const { store } = correlation
  const { callSid, id } = settled.listen
  let { call, listen } = settled
  if (!hasListen) {
    const { patch } = hookPart(id, report)
    ;({ call, listen } = correlated((await store.write(callSid, [{ patch }])).call, id))
  }
  // While the store is away, another instance may hold the listen's socket, unless the hook says that there was no
  // socket.
  const isSure = storeIsUp || (report.call !== undefined && report.duration === undefined)
  if (listen.state === 'expected') {
    if (isSure || isOffered(listen)) ({ call, listen } = await correlation.neverCame(listen))
    else endUnlessHeld(correlation, listen, HOOK_WAIT)
  }
  const { digits } = report
  const parts = [
    ...hookReasonParts(listen),
    ...(digits !== undefined && awaitsKey(listen) ? [keyPart(id, digits)] : [])
  ]
  if (parts.length > 0) ({ call, listen } = correlated((await store.write(callSid, parts)).call, id))
  return { call, listen }
}

/** Asks the instance that holds the listen's socket to read the socket to its end at once. */
function readToEnd({ deps, store }: Correlation, listenId: string): void {
  deps.readToEnd(listenId)
  store.tell({ awaited: listenId } satisfies Message)
}

/** Resolves when a hook of the listen has come to any instance since `listen` was read, or after `ms`. */
export async function hooked({ store }: Correlation, listen: StoredListen, ms: number): Promise<void> {
  if (!hasOurHook(listen)) return
  const { callSid, id, hookedAt } = listen
  await store.waitFor(callSid, id, (now) => now === undefined || now.hookedAt !== hookedAt, ms)
}

/** Resolves when the hook of each listen that has ended within the last `ms` has come to any instance, or after `ms`. */
export async function hooksOfEndsCame(correlation: Correlation, callSid: string, ms: number): Promise<void> {
  const call = await correlation.store.get(callSid)
  if (call === undefined) return
  const since = wallClock() - ms
  const due = call.listens.filter(
    ({ state, hookedAt, endedAt }) =>
      state === 'ended' && hookedAt === undefined && Date.parse(endedAt ?? '') >= since
  )
  await Promise.all(due.map((listen) => hooked(correlation, listen, ms)))
}
