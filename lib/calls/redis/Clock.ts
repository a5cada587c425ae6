const MICROS = 1_000

/** The clock of Redis, in µs, as its replies tell it: the one all instances share. Ours until it has told. */
export class Clock {
  #offset = 0
  #last = 0

  heard (micros: number): void {
    this.#offset = micros - Date.now() * MICROS
  }

  /** Later than any before. */
  next (): number {
    this.#last = Math.max(this.#last + 1, Date.now() * MICROS + this.#offset)
    return this.#last
  }

  /** ms since the epoch */
  now (): number {
    return Date.now() + Math.round(this.#offset / MICROS)
  }
}
