/** A first-in first-out queue of samples in chunks. Samples are copied out. */
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

  /** Fills `into` from the front. Returns the number of samples. */
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

  /** Resolves when the queue is empty. */
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
