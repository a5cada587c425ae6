/** Lets so many do something at once; the others wait in order. */
export class Gate {
  readonly #limit: number
  readonly #waiting: Array<() => void> = []
  #busy = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#busy >= this.#limit) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
      })
    } else this.#busy++
    try {
      return await operation()
    } finally {
      const next = this.#waiting.shift()
      // the place goes on to the next
      if (next) next()
      else this.#busy--
    }
  }
}
