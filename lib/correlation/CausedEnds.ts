import type { FastifyBaseLogger } from 'fastify'
import type { EndReason } from '../model/schema.js'

/** ms from the end that we asked for to the last close that it may cause. jambonz takes less than 100, unless busy. */
const WINDOW = 3_000
/**
 * ms of this window that remain once our socket has closed: 80 were measured, and a batched socket is read up to 800
 * later.
 */
const AFTER_CLOSE = 1_500
/** Number of calls to remember at most. */
const MAX_CALLS = 10_000
/** End reasons of sockets that the server did not end: jambonz ended the listen, or the connection was lost. */
const NOT_OURS: ReadonlySet<EndReason> = new Set(['closed', 'lost'])

/** An end of a listen that this or another instance asked for. */
export interface CausedEnd {
  callSid: string
  listenId: string
  reason: EndReason
}

interface Remembered extends CausedEnd {
  /** time at which the end was asked for, and time until which it may cause others, ms of performance.now() */
  at: number
  until: number
}

/**
 * The ends that we caused lately. If the server ends one socket, jambonz 0.9 ends all listens of its call (measured;
 * docs/listen-life.md). Our end is then the reason why the other listens ended.
 */
export class CausedEnds {
  // The first end of each call, in the order of time.
  readonly #ends = new Map<string, Remembered>()
  /** calls that were logged */
  readonly #said = new Set<string>()
  readonly #logger: FastifyBaseLogger

  constructor(logger: FastifyBaseLogger) {
    this.#logger = logger
  }

  /** Notes an end that was asked for. Returns false if it does not end the call's other listens. */
  add(end: CausedEnd): boolean {
    if (NOT_OURS.has(end.reason)) return false
    this.#forget()
    // Only the first end is the cause: we may also end other listens of the call.
    const now = performance.now()
    if ((this.#ends.get(end.callSid)?.until ?? -Infinity) < now) {
      this.#ends.delete(end.callSid)
      this.#ends.set(end.callSid, { ...end, at: now, until: now + WINDOW })
    }
    return true
  }

  /**
   * Returns why a listen ended. `reason`: why its socket closed. Returns `otherEnded` if jambonz closed it because this
   * application ended another listen of the call. `askedAt`: when jambonz asked for the socket, ms of
   * performance.now(). An earlier end did not cause it.
   */
  reasonOf(callSid: string, listenId: string, reason: EndReason, askedAt: number): EndReason {
    this.#closed(callSid, listenId)
    const cause = reason === 'closed' ? this.#causeOf(callSid, listenId, askedAt) : undefined
    if (cause === undefined) return reason
    if (this.#isNews(callSid)) {
      this.#logger.warn(
        { callSid, listenId, endedBy: cause.listenId, endReason: cause.reason },
        'the end of one listen ended another listen of its call: jambonz 0.9 ends all of them'
      )
    }
    return 'otherEnded'
  }

  /** Shortens the window once the socket has closed: its close ends other listens at once, or not at all. */
  #closed(callSid: string, listenId: string): void {
    const end = this.#ends.get(callSid)
    if (end?.listenId === listenId) end.until = Math.min(end.until, performance.now() + AFTER_CLOSE)
  }

  /** Returns the end of another listen that caused the end of this one; undefined if there is none. */
  #causeOf(callSid: string, listenId: string, askedAt: number): CausedEnd | undefined {
    const end = this.#ends.get(callSid)
    if (end === undefined || end.listenId === listenId) return undefined
    return askedAt < end.at && performance.now() <= end.until ? end : undefined
  }

  /** Returns true the first time that it is called for a call. */
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
