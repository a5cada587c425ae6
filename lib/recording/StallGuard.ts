import { PassThrough, type Transform } from 'node:stream'

/** Breaks off what makes no progress for a time, or when told to. */
export class StallGuard {
  /** put into a pipeline: what flows through it is progress */
  readonly meter: Transform
  /** aborted with the reason */
  readonly signal: AbortSignal
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout

  /** `patience` in ms */
  constructor(patience: number, closing: AbortSignal) {
    this.signal = AbortSignal.any([this.#controller.signal, closing])
    this.#timer = setTimeout(() => {
      this.#controller.abort(new Error(`it took nothing for ${patience} ms`))
    }, patience).unref()
    this.meter = new PassThrough({
      transform: (chunk, _, done) => {
        this.#timer.refresh()
        done(null, chunk)
      }
    })
  }

  /** Rejects when broken off, even if `operation` never hears of it. */
  async race<T>(operation: Promise<T>): Promise<T> {
    return await new Promise((resolve, reject) => {
      const abort = (): void => {
        reject(asError(this.signal.reason))
      }
      if (this.signal.aborted) return abort()
      this.signal.addEventListener('abort', abort, { once: true })
      operation.then(resolve, reject)
    })
  }

  close(): void {
    clearTimeout(this.#timer)
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}
