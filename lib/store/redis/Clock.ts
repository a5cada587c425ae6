const MICROS = 1_000

/** ms after which a sample is replaced by any other: clocks drift */
const MAX_AGE = 60_000
/** ms that two samples of that age may differ beyond what they are exact to */
const MAX_DRIFT = 20

/** to performance.now(), which nobody sets back: our own clock */
const OWN = performance.timeOrigin * MICROS

/**
 * The clock of Redis, in µs: the one that all instances share. As the quickest of its replies told it, which is exact to
 * half the time that took; ours until it has told, and as long as what it tells may be ours: machines whose clocks are
 * set over the network agree more closely than a reply can say. A reply that can't be true beside that one tells of
 * another clock: it was set, or another server took over.
 */
export class Clock {
  #offset = OWN
  #took = Infinity
  #sampled = 0
  #last = 0

  /** `micros`: what its clock said in a reply to a command sent at `sent`, in ms of performance.now(). */
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

  /** Later than any before. */
  next(): number {
    this.#last = Math.max(this.#last + 1, Math.round(performance.now() * MICROS + this.#offset))
    return this.#last
  }

  /** ms since the epoch */
  now(): number {
    return Math.round(performance.now() + this.#offset / MICROS)
  }
}
