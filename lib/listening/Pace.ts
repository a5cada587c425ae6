const MAX_AT_ONCE = 5
/** A turn is slow if it takes this many times the quickest one, plus CHANCE ms: it keeps others waiting. */
const SLOWER = 1.5
const CHANCE = 3

/**
 * How many things that go their own way are under way at once: one, and one more as long as that makes none of them
 * slower. Each is to take as little time as can be; all together only where that costs none of them any.
 */
export class Pace {
  readonly #running = new Set<Promise<void>>()
  #atOnce = 1
  #quickest = Infinity

  /** Resolves when the next may begin. `done` never rejects. */
  async add(done: Promise<void>): Promise<void> {
    const begun = performance.now()
    const running = done.then(() => {
      this.#running.delete(running)
      this.#adapt(performance.now() - begun)
    })
    this.#running.add(running)
    while (this.#running.size >= this.#atOnce) await Promise.race(this.#running)
  }

  #adapt(took: number): void {
    this.#quickest = Math.min(this.#quickest, took)
    const isSlow = took > this.#quickest * SLOWER + CHANCE
    this.#atOnce = isSlow ? Math.max(1, this.#atOnce - 1) : Math.min(MAX_AT_ONCE, this.#atOnce + 1)
  }
}
