/** A queue of samples in one piece of memory, which grows with what waits in it. */
export class SampleRing {
  #samples: Int16Array
  #start = 0
  #length = 0

  /** `room`: samples for which there is room at first */
  constructor(room: number) {
    this.#samples = new Int16Array(room)
  }

  /** Samples in the queue. */
  get length(): number {
    return this.#length
  }

  /** Samples that the queue takes before it needs more memory. */
  get room(): number {
    return this.#samples.length
  }

  /** Copies samples to the end of the queue. */
  push(samples: Int16Array): void {
    if (this.#length + samples.length > this.#samples.length) this.#grow(this.#length + samples.length)
    const at = (this.#start + this.#length) % this.#samples.length
    const first = Math.min(samples.length, this.#samples.length - at)
    if (first === samples.length) this.#samples.set(samples, at)
    else {
      this.#samples.set(samples.subarray(0, first), at)
      this.#samples.set(samples.subarray(first), 0)
    }
    this.#length += samples.length
  }

  /** Moves the first `count` samples to `into`, from its place `at` on. The queue has so many. */
  shift(into: Int16Array, at: number, count: number): void {
    for (let i = 0, from = this.#start; i < count; i++, from++) {
      if (from === this.#samples.length) from = 0
      into[at + i] = this.#samples[from] ?? 0
    }
    this.drop(count)
  }

  /** Drops the first `count` samples. The queue has so many. */
  drop(count: number): void {
    this.#length -= count
    this.#start = (this.#start + count) % this.#samples.length
  }

  #grow(needed: number): void {
    const length = this.#length
    const samples = new Int16Array(Math.max(needed, 2 * this.#samples.length))
    this.shift(samples, 0, length)
    this.#samples = samples
    this.#start = 0
    this.#length = length
  }
}
