import type { FastifyBaseLogger } from 'fastify'
import type { EndReason } from '../model/schema.js'

/** ms from our asking for an end to the last close it may cause. jambonz needs less than 100; it may be busy. */
const WINDOW = 3_000
/** ms that remain when the socket which we ended has closed: measured were 80, and a batched socket is read 800 later. */
const AFTER_CLOSE = 1_500
/** Calls remembered at most. */
const MAX_CALLS = 10_000
/** Ends that are not the server's: jambonz asked for it, or its connection was dead. */
const NOT_OURS: ReadonlySet<EndReason> = new Set(['closed', 'lost'])

/** An end of a listen that this or another instance asked for. */
export interface CausedEnd {
  callSid: string
  listenId: string
  reason: EndReason
}

interface Remembered extends CausedEnd {
  /** ms of performance.now() */
  until: number
}

/**
 * Ends that we caused lately. On jambonz 0.9 the end of one socket that comes from the server ends all listens of its
 * call (measured; docs/listen-life.md): what then closes by itself has this for its reason.
 */
export class CausedEnds {
  // The first of each call, in the order they came.
  readonly #ends = new Map<string, Remembered>()
  /** calls of which the log has been told */
  readonly #said = new Set<string>()
  readonly #logger: FastifyBaseLogger

  constructor(logger: FastifyBaseLogger) {
    this.#logger = logger
  }

  /** Notes an end that was asked for. Returns false for one that does no harm to the call's other listens. */
  add(end: CausedEnd): boolean {
    if (NOT_OURS.has(end.reason)) return false
    this.#forget()
    // The first is the cause: the others of the call may be ended by us as well.
    if (!this.#ends.has(end.callSid)) {
      this.#ends.set(end.callSid, { ...end, until: performance.now() + WINDOW })
    }
    return true
  }

  /** Returns why the listen ended, whose socket has closed for `reason`: perhaps since we ended another one of the call. */
  reasonOf(callSid: string, listenId: string, reason: EndReason): EndReason {
    this.#closed(callSid, listenId)
    const cause = reason === 'closed' ? this.#causeOf(callSid, listenId) : undefined
    if (cause === undefined) return reason
    if (this.#isNews(callSid)) {
      this.#logger.warn(
        { callSid, listenId, endedBy: cause.listenId, endReason: cause.reason },
        'the end of one listen ended another of its call: jambonz 0.9 ends them all'
      )
    }
    return 'otherEnded'
  }

  /** The socket has closed: what its end causes comes at once, or not at all. */
  #closed(callSid: string, listenId: string): void {
    const end = this.#ends.get(callSid)
    if (end?.listenId === listenId) end.until = Math.min(end.until, performance.now() + AFTER_CLOSE)
  }

  /** Returns the end of another listen that ended this one, where jambonz has closed its socket. */
  #causeOf(callSid: string, listenId: string): CausedEnd | undefined {
    const end = this.#ends.get(callSid)
    return end === undefined || end.listenId === listenId || end.until < performance.now() ? undefined : end
  }

  /** Returns true the first time that the log is to be told of this call. */
  #isNews(callSid: string): boolean {
    if (this.#said.has(callSid)) return false
    if (this.#said.size >= MAX_CALLS) this.#said.clear()
    this.#said.add(callSid)
    return true
  }

  #forget(): void {
    const now = performance.now()
    for (const [callSid, { until }] of this.#ends) {
      if (until >= now && this.#ends.size < MAX_CALLS) return
      this.#ends.delete(callSid)
    }
  }
}
