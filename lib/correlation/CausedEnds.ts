import type { FastifyBaseLogger } from 'fastify'
import type { EndReason } from '../model/schema.js'

/** ms from our asking for an end to the last close it may cause. jambonz needs less than 100; it may be busy. */
const WINDOW = 3_000
/**
 * ms that remain once the socket we ended has closed: 80 were measured, and a batched socket is read up to 800 later.
 */
const AFTER_CLOSE = 1_500
/** Calls remembered at most. */
const MAX_CALLS = 10_000
/** End reasons of sockets that the server did not end: jambonz asked for the end, or the connection was dead. */
const NOT_OURS: ReadonlySet<EndReason> = new Set(['closed', 'lost'])

/** An end of a listen that this or another instance asked for. */
export interface CausedEnd {
  callSid: string
  listenId: string
  reason: EndReason
}

interface Remembered extends CausedEnd {
  /** when the end was asked for, and how long it may cause others, ms of performance.now() */
  at: number
  until: number
}

/**
 * The ends that we caused lately. If the server ends one socket, jambonz 0.9 ends all listens of its call (measured;
 * docs/listen-life.md): our end is then the reason of the other listens' ends.
 */
export class CausedEnds {
  // The first end of each call, in order.
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
    // The first end is the cause: we may end the other listens of the call as well.
    const now = performance.now()
    if ((this.#ends.get(end.callSid)?.until ?? -Infinity) < now) {
      this.#ends.delete(end.callSid)
      this.#ends.set(end.callSid, { ...end, at: now, until: now + WINDOW })
    }
    return true
  }

  /**
   * Returns why the listen ended, whose socket has closed for `reason`: perhaps since we ended another one of the call.
   * `askedAt`: when jambonz asked for the socket, ms of performance.now(). An end before that did not end it.
   */
  reasonOf(callSid: string, listenId: string, reason: EndReason, askedAt: number): EndReason {
    this.#closed(callSid, listenId)
    const cause = reason === 'closed' ? this.#causeOf(callSid, listenId, askedAt) : undefined
    if (cause === undefined) return reason
    if (this.#isNews(callSid)) {
      this.#logger.warn(
        { callSid, listenId, endedBy: cause.listenId, endReason: cause.reason },
        'the end of one listen ended another of its call: jambonz 0.9 ends them all'
      )
    }
    return 'otherEnded'
  }

  /** Shortens the window once the socket has closed: its end ends other listens at once, or not at all. */
  #closed(callSid: string, listenId: string): void {
    const end = this.#ends.get(callSid)
    if (end?.listenId === listenId) end.until = Math.min(end.until, performance.now() + AFTER_CLOSE)
  }

  /** Returns the end of another listen that ended this one, whose socket jambonz has closed; undefined if there is none. */
  #causeOf(callSid: string, listenId: string, askedAt: number): CausedEnd | undefined {
    const end = this.#ends.get(callSid)
    if (end === undefined || end.listenId === listenId) return undefined
    return askedAt < end.at && performance.now() <= end.until ? end : undefined
  }

  /** Returns true the first time this is called for a call: it is to be logged. */
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
