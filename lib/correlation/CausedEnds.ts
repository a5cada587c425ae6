import type { EndReason } from '../model/schema.js'

/** ms from our asking for an end to the last close it may cause: jambonz has two seconds to react, then we close. */
const WINDOW = 5_000
/** Ends remembered at most. */
const MAX_ENDS = 10_000

/** An end of a listen that this or another instance asked for. */
export interface CausedEnd {
  callSid: string
  listenId: string
  reason: EndReason
}

interface Remembered extends CausedEnd {
  /** ms of performance.now() */
  at: number
}

/**
 * Ends that we caused lately. On jambonz 0.9 the end of one socket that comes from the server ends all listens of its
 * call (measured; docs/jambonz.md): what then closes by itself has this for its reason.
 */
export class CausedEnds {
  // The latest of each call, in the order they came.
  readonly #ends = new Map<string, Remembered>()
  /** calls of which the log has been told */
  readonly #said = new Set<string>()

  /** Notes an end that was asked for. */
  add(end: CausedEnd): void {
    this.#forget()
    const known = this.#ends.get(end.callSid)
    // The first one is the cause; the others of the call may be ended by us as well.
    if (known !== undefined) return
    this.#ends.set(end.callSid, { ...end, at: performance.now() })
  }

  /** Returns the end of another listen that may have ended this one, where jambonz closed its socket. */
  causeOf(callSid: string, listenId: string): CausedEnd | undefined {
    this.#forget()
    const end = this.#ends.get(callSid)
    return end === undefined || end.listenId === listenId ? undefined : end
  }

  /** True for the first time that the log is to be told of this call. */
  isNews(callSid: string): boolean {
    if (this.#said.has(callSid)) return false
    if (this.#said.size >= MAX_ENDS) this.#said.clear()
    this.#said.add(callSid)
    return true
  }

  #forget(): void {
    const oldest = performance.now() - WINDOW
    for (const [callSid, { at }] of this.#ends) {
      if (at >= oldest && this.#ends.size <= MAX_ENDS) return
      this.#ends.delete(callSid)
    }
  }
}
