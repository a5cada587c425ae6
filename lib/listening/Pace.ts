const MAX_AT_ONCE = 5
/** A turn is slow if it takes this many times the quickest one, plus CHANCE ms: it keeps others waiting. */
const SLOWER = 1.5
const CHANCE = 3

/**
 * A limit of concurrent operations that finds its own level: it begins at one, and grows by one as long as no operation
 * becomes slower. The speed of each operation comes first, the throughput of all second.
 */
export class Pace {
  readonly #running = new Set<Promise<void>>()
  #atOnce = 1
  #quickest = Infinity

  /** Counts an operation until `done` resolves, which never rejects. Resolves when the next operation may begin. */
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
