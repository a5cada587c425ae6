/** Waits for one operation after the other, for so long each, and until the server closes. */
export class Patience {
  readonly #closing: AbortSignal
  readonly #timer: NodeJS.Timeout
  #giveUp: (reason: Error) => void = () => {}
  readonly #abort = (): void => {
    const { reason } = this.#closing as { reason: unknown }
    this.#giveUp(reason instanceof Error ? reason : new Error(String(reason)))
  }

  /** `ms`: for each operation */
  constructor(ms: number, closing: AbortSignal) {
    this.#closing = closing
    this.#timer = setTimeout(() => {
      this.#giveUp(new Error(`it took nothing for ${ms} ms`))
    }, ms).unref()
    closing.addEventListener('abort', this.#abort)
  }

  /** Resolves as `operation` does. Rejects when it takes too long or the server closes, even if it never settles. */
  async until<T>(operation: Promise<T>): Promise<T> {
    this.#timer.refresh()
    return await new Promise((resolve, reject) => {
      this.#giveUp = reject
      operation.then(resolve, reject)
      if (this.#closing.aborted) this.#abort()
    })
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#closing.removeEventListener('abort', this.#abort)
  }
}
