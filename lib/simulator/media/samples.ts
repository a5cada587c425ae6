/** A first-in first-out queue of samples in chunks; taking from it copies, nothing is shifted. */
export class SampleQueue {
  #chunks: Int16Array[] = []
  #head = 0
  #length = 0
  #waiting: Array<() => void> = []

  get length(): number {
    return this.#length
  }

  push(samples: Int16Array): void {
    if (samples.length === 0) return
    this.#chunks.push(samples)
    this.#length += samples.length
  }

  /** Fills `into` from the front; returns how many samples there were. */
  take(into: Int16Array, wanted = into.length): number {
    let taken = 0
    while (taken < wanted && this.#chunks.length > 0) {
      const chunk = this.#chunks[0]!
      const count = Math.min(wanted - taken, chunk.length - this.#head)
      into.set(chunk.subarray(this.#head, this.#head + count), taken)
      taken += count
      this.#head += count
      if (this.#head === chunk.length) {
        this.#chunks.shift()
        this.#head = 0
      }
    }
    this.#length -= taken
    if (this.#length === 0 && this.#waiting.length > 0) this.#release()
    return taken
  }

  /** Resolves when nothing is left to take. */
  emptied(): Promise<void> {
    return this.#length === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve))
  }

  clear(): void {
    this.#chunks = []
    this.#head = 0
    this.#length = 0
    this.#release()
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
