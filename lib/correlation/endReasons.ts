import type { FastifyBaseLogger } from 'fastify'
import { correlated, listenIn, type Correlated, type WritePart } from '../model/callWrite.js'
import { awaitsKey, lengthAsked, stageOf, watchPart } from '../model/listenLife.js'
import type { Call, EndReason, StoredListen } from '../model/schema.js'
import type { CallStore, Written } from '../store/CallStore.js'
import type { Correlation } from './Correlation.js'

// The ends of listens that no socket tells: by an actionHook, by the end of another listen, or since no socket comes.

/** ms to wait for the next socket of a listen, or for its first one if its call has ended. jambonz tries for 10 s. */
const SOCKET_WAIT = 15_000
/** ms that a listen waits for a store that is away. After that, the listen is left unchanged. */
const RETURN_WAIT = 600_000
/** ms to wait, when a listen ends, for the key that its actionHook reported */
const KEY_WAIT = 1_000

/**
 * ms in which an end on another instance may make jambonz close our sockets. jambonz takes less than 100 ms, unless
 * busy. When the socket on the other instance has closed is not known here.
 */
const WINDOW = 3_000
/** ms after the close of our socket in which jambonz closes the other sockets. It takes 80 ms (measured). */
const AFTER_CLOSE = 1_500
/** ms for which an end is remembered after that, since a busy process may read the close of a socket late. */
const REMEMBERED = 60_000
/** Number of calls to remember at most. */
const MAX_CALLS = 10_000
/** End reasons of a listen that we did not end: jambonz ended the listen, or the connection was lost. */
const NOT_OURS: ReadonlySet<EndReason> = new Set(['closed', 'lost'])

/** An end of a listen that this or another instance asked for. */
export interface CausedEnd {
  callSid: string
  listenId: string
  reason: EndReason
}

/** The time in which a socket was surely open, ms of performance.now(). */
export interface OpenTime {
  /** when jambonz asked for the socket */
  from: number
  /** The close of the socket may be read later, if this process is busy, or reads the socket in batches. */
  until: number
}

interface Remembered extends CausedEnd {
  /**
   * `at`: the time at which we asked for the end; `until`: the last time at which it may cause another end, Infinity
   * while the socket is open. Both in ms of performance.now()
   */
  at: number
  until: number
}

/**
 * The listens that we ended lately. If we close one socket, jambonz 0.9 ends all listens of the call
 * (measured; docs/listen-life.md). The other listens have then ended because we ended the first listen.
 */
export class CausedEnds {
  // By callSid: the first listen of the call that we ended. The oldest end comes first.
  readonly #ends = new Map<string, Remembered>()
  /** callSids of the calls for which the warning was logged */
  readonly #said = new Set<string>()
  readonly #logger: FastifyBaseLogger

  constructor(logger: FastifyBaseLogger) {
    this.#logger = logger
  }

  /**
   * Notes that an instance ends a listen, this one (`isHere`) or another. Returns false if this does not end the call's
   * other listens.
   */
  add(end: CausedEnd, isHere: boolean): boolean {
    if (NOT_OURS.has(end.reason)) return false
    this.#forget()
    // Only the first end counts as the cause, since we may also end other listens of the call.
    const now = performance.now()
    if ((this.#ends.get(end.callSid)?.until ?? -Infinity) < now) {
      this.#ends.delete(end.callSid)
      this.#ends.set(end.callSid, { ...end, at: now, until: isHere ? Infinity : now + WINDOW })
    }
    return true
  }

  /**
   * Returns the end reason of a listen whose socket has closed for `reason`. Returns `otherEnded` if jambonz closed the
   * socket because this application ended another listen of the call: an end before the socket was asked for, or an end
   * that the socket outlived, is not the cause.
   */
  reasonOf({ callSid, listenId, reason }: CausedEnd, open: OpenTime): EndReason {
    this.#closed(callSid, listenId)
    const cause = reason === 'closed' ? this.#causeOf(callSid, listenId, open) : undefined
    if (cause === undefined) return reason
    if (this.#isNews(callSid)) {
      this.#logger.warn(
        { callSid, listenId, endedBy: cause.listenId, endReason: cause.reason },
        'the end of one listen ended another listen of its call: jambonz 0.9 ends all of them'
      )
    }
    return 'otherEnded'
  }

  /** Notes that a socket has closed, since jambonz then ends the other listens at once, or not at all. */
  #closed(callSid: string, listenId: string): void {
    const end = this.#ends.get(callSid)
    if (end?.listenId === listenId) end.until = Math.min(end.until, performance.now() + AFTER_CLOSE)
  }

  /** Returns the end of another listen that caused the end of this listen; undefined if there is none. */
  #causeOf(callSid: string, listenId: string, open: OpenTime): CausedEnd | undefined {
    const end = this.#ends.get(callSid)
    if (end === undefined || end.listenId === listenId) return undefined
    return open.from < end.at && open.until <= end.until ? end : undefined
  }

  /** Returns true for a call that was not logged yet, and notes the call. */
  #isNews(callSid: string): boolean {
    if (this.#said.has(callSid)) return false
    if (this.#said.size >= MAX_CALLS) this.#said.clear()
    this.#said.add(callSid)
    return true
  }

  #forget(): void {
    const now = performance.now()
    for (const [callSid, { until }] of this.#ends) {
      if (until + REMEMBERED >= now && this.#ends.size < MAX_CALLS) return
      this.#ends.delete(callSid)
    }
  }
}

/** ms to wait, when a listen has ended, for an actionHook that may tell another end reason. It comes within 100 ms. */
const REASON_WAIT = 1_000

/** The waits of ended listens for the actionHook that may tell another end reason. */
export class ReasonWaits {
  readonly #waits = new Map<string, Set<{ end: () => void; told: Promise<void> }>>()
  readonly #store: CallStore
  readonly #logger: FastifyBaseLogger

  constructor(store: CallStore, logger: FastifyBaseLogger) {
    this.#store = store
    this.#logger = logger
  }

  /**
   * Calls `tell` with the ended listen when its hook has come to any instance, when the call ends, or after REASON_WAIT.
   * `hookedAt`: when the hook of an earlier socket of the listen came.
   */
  add(closed: Correlated, hookedAt: string | undefined, tell: (ended: Correlated) => void): void {
    const { callSid } = closed.listen
    let end = (): void => {}
    const callEnds = new Promise<undefined>((resolve) => {
      end = () => resolve(undefined)
    })
    const told = Promise.race([this.#afterHook(closed, hookedAt), callEnds]).then((ended = closed) =>
      tell(ended)
    )
    const waits = this.#waits.get(callSid) ?? new Set()
    const wait = { end, told }
    this.#waits.set(callSid, waits.add(wait))
    told.finally(() => {
      waits.delete(wait)
      if (waits.size === 0) this.#waits.delete(callSid)
    })
  }

  /**
   * Ends the waits of a call that has ended, and resolves when all are told. On a hang-up, the hook comes after the final
   * status, and tells no other reason.
   */
  async callEnded(callSid: string): Promise<void> {
    const waits = [...(this.#waits.get(callSid) ?? [])]
    for (const { end } of waits) end()
    await Promise.all(waits.map(({ told }) => told))
  }

  async #afterHook(closed: Correlated, hookedAt: string | undefined): Promise<Correlated> {
    const { callSid, id } = closed.listen
    const reached = (now?: StoredListen): boolean => now === undefined || now.hookedAt !== hookedAt
    try {
      const call = await this.#store.waitFor(callSid, id, reached, REASON_WAIT)
      if (call === undefined || listenIn(call, id) === undefined) return closed
      return await endedByHook(this.#store, correlated(call, id))
    } catch (err) {
      this.#logger.error({ err, callSid, listenId: id }, 'the end reason in a hook could not be read')
      return closed
    }
  }
}

/** Returns the write that stores why jambonz ended the listen. The close of the socket does not tell the reason. */
function endReasonPart(id: string, endReason: EndReason): WritePart {
  return {
    guards: [{ listen: id, field: 'endReason', is: 'closed' }],
    patch: { listens: [{ id, endReason }] }
  }
}

/** Returns the end reason that the hook of an ended listen tells; undefined if it tells none. */
function reasonOfHook(listen: StoredListen): EndReason | undefined {
  const { endReason, keyed, reportedDuration } = listen
  if (endReason !== 'closed') return undefined
  if (keyed) return 'finishOnKey'
  const asked = lengthAsked(listen) ?? 0
  return asked > 0 && reportedDuration !== undefined && reportedDuration >= asked ? 'maxLength' : undefined
}

/** Returns the writes of the end reason that the stored actionHook of an ended listen tells; none if it tells none. */
export function hookReasonParts(listen: StoredListen): WritePart[] {
  const reason = reasonOfHook(listen)
  return reason === undefined ? [] : [endReasonPart(listen.id, reason)]
}

/** Returns true if the actionHook of an ended listen, which has not come, may tell another end reason. */
export function mayHookTell({ endReason, finishOnKey, maxLength = 0 }: StoredListen): boolean {
  return endReason === 'closed' && (finishOnKey?.length === 1 || maxLength > 0)
}

/**
 * Returns true if the call of a listen ended before the listen began, for example because the caller hung up while a
 * `say` ran. Returns false if an actionHook reported that jambonz could not open the socket.
 */
export function neverBegan(
  { endReason, hookedAt }: StoredListen,
  { endedAt }: Pick<Call, 'endedAt'>
): boolean {
  return endReason === 'notConnected' && hookedAt === undefined && endedAt !== undefined
}

/** Logs that a listen has ended whose socket never came. `shared`: true if several instances share the store. */
export function logNeverCame(logger: FastifyBaseLogger, { call, listen }: Correlated, shared: boolean): void {
  const { callSid, id: listenId, endReason, reportedDuration } = listen
  if (neverBegan(listen, call)) {
    logger.info({ callSid, listenId }, 'the call ended before the listen began')
    return
  }
  // A hook without a duration says that jambonz could not open the socket, for example because we refused it.
  const isElsewhere = reportedDuration !== undefined && !shared
  logger.warn(
    { callSid, listenId, endReason },
    `listen ended before its socket came${isElsewhere ? '. jambonz has opened it, so it reached another instance, and several instances need a shared store' : ''}`
  )
}

/** Writes the end reason and waits for the key of an ended listen whose actionHook has come. */
export async function endedByHook(store: CallStore, ended: Correlated): Promise<Correlated> {
  const { id, callSid } = ended.listen
  const parts = hookReasonParts(ended.listen)
  let { call } = parts.length > 0 ? await store.write(callSid, parts) : ended
  if (awaitsKey(correlated(call, id).listen)) {
    // The instance that received the hook waits for the end of the listen, then writes the key.
    const reached = (listen?: StoredListen): boolean => listen === undefined || !awaitsKey(listen)
    const later = await store.waitFor(callSid, id, reached, KEY_WAIT)
    if (later !== undefined && listenIn(later, id) !== undefined) call = later
  }
  return correlated(call, id)
}

/**
 * Ends a listen whose first or next socket has not come to any instance within `ms`, unless a hook has ended it, or has
 * asked for the socket again, meanwhile. The time begins when the store is available, since another instance may hold
 * the socket while the store is away. If this instance dies or closes meanwhile, another instance ends the listen.
 * Returns at once.
 */
export function endUnlessHeld(
  correlation: Correlation,
  { callSid, id, offers, watcher }: StoredListen,
  ms = SOCKET_WAIT
): void {
  const { store, deps } = correlation
  const isSettled = (now?: StoredListen): boolean =>
    now !== undefined && (now.state !== 'expected' || now.instance !== undefined || now.offers !== offers)
  const watch = async (): Promise<void> => {
    if (watcher !== deps.instance) await store.write(callSid, [watchPart(id, deps.instance, true)])
    for (;;) {
      await store.waitFor(callSid, id, () => store.health().available, RETURN_WAIT)
      // The store is still away, or it is closed, so the listen is left unchanged.
      if (!store.health().available) return
      const call = await store.waitFor(callSid, id, isSettled, ms)
      const listen = listenIn(call, id)
      if (!store.health().available) continue
      // This instance has asked for the listen again, and so has begun another watch, which goes on.
      if (listen?.watcher === deps.instance && listen.offers !== offers) return
      if (listen !== undefined && !isSettled(listen)) await correlation.neverCame(listen, call?.endedAt)
      else await store.write(callSid, [watchPart(id, deps.instance, false)])
      return
    }
  }
  watch().catch((err: unknown) => {
    deps.logger.error({ err, callSid, listenId: id }, 'the end of a listen could not be written')
  })
}

/**
 * Calls `endUnlessHeld()` for the listens of a call that have had no socket, if the call has ended. If the store did not
 * get the write whose result this is, does so when the store is back: see MissedEnds.
 */
export function endIfCallHasEnded(correlation: Correlation, written: Pick<Written, 'call' | 'kept'>): void {
  const { call, kept } = written
  if (!kept) return correlation.missed.add(call.callSid)
  if (call.endedAt === undefined) return
  for (const listen of call.listens) {
    if (stageOf(listen) === 'expected') endUnlessHeld(correlation, listen)
  }
}

/**
 * The calls that were answered, or have ended, while the store was away. When the store is back, their listens are looked
 * at, since another instance may have written listens, or the end of the call, that this instance did not know.
 */
export class MissedEnds {
  readonly #callSids = new Set<string>()
  readonly #correlation: Correlation

  constructor(correlation: Correlation) {
    this.#correlation = correlation
  }

  add(callSid: string): void {
    const isFirst = this.#callSids.size === 0
    if (this.#callSids.size < MAX_CALLS) this.#callSids.add(callSid)
    if (!isFirst) return
    this.#look(callSid).catch((err: unknown) => {
      this.#correlation.deps.logger.error({ err }, 'the calls that ended without the store could not be read')
    })
  }

  /** Waits for the store with one call, so that an outage makes one wait. If it is away again then, waits again. */
  async #look(first: string): Promise<void> {
    const { store } = this.#correlation
    const isUp = (): boolean => store.health().available
    await store.waitFor(first, '', isUp, RETURN_WAIT)
    const cameBack = isUp()
    const callSids = [...this.#callSids]
    this.#callSids.clear()
    for (const callSid of callSids) {
      const call = isUp() ? await store.get(callSid) : undefined
      if (cameBack && !isUp()) this.add(callSid)
      else if (call !== undefined) endIfCallHasEnded(this.#correlation, { call, kept: true })
    }
  }
}

/** Calls `endUnlessHeld()` for a listen that the dead instance `dead` has watched. */
export function watchInPlaceOf(correlation: Correlation, dead: string, listen?: StoredListen): void {
  if (listen?.watcher === dead) endUnlessHeld(correlation, listen)
}
