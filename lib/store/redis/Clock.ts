const MICROS = 1_000

/** ms after which a sample is replaced by any other: clocks drift */
const MAX_AGE = 60_000
/** ms that two samples of that age may differ, beyond their own inexactness */
const MAX_DRIFT = 20

/** µs to add to performance.now(), which nobody sets back: our own clock */
const OWN = performance.timeOrigin * MICROS

/**
 * The clock of Redis, in µs, which all instances share. It is read from the quickest reply, which is exact to half the
 * time that the reply took. Our own clock is used until there is a reply, and as long as it agrees with the replies:
 * clocks set over the network agree more closely than a reply can tell. A reply that contradicts the quickest one shows
 * another clock: Redis' clock was set, or another server took over.
 */
export class Clock {
  #offset = OWN
  #took = Infinity
  #sampled = 0
  #last = 0

  /** Takes a sample. `micros`: the clock of Redis in the reply to a command sent at `sent`, ms of performance.now(). */
  heard(micros: number, sent: number): void {
    const now = performance.now()
    const took = now - sent
    const offset = micros - (now - took / 2) * MICROS
    const wasSet = Math.abs(offset - this.#offset) > ((took + this.#took) / 2 + MAX_DRIFT) * MICROS
    if (!wasSet && took > this.#took && now - this.#sampled < MAX_AGE) return
    this.#offset = Math.abs(offset - OWN) <= (took / 2) * MICROS ? OWN : offset
    this.#took = took
    this.#sampled = now
  }

  /** Returns a time, in µs, later than any it returned before. */
  next(): number {
    this.#last = Math.max(this.#last + 1, Math.round(performance.now() * MICROS + this.#offset))
    return this.#last
  }

  /** ms since the epoch */
  now(): number {
    return Math.round(performance.now() + this.#offset / MICROS)
  }
}
