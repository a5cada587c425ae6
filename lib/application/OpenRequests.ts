import type { ServerResponse } from 'node:http'
import { withinMs } from '../model/withinMs.js'

/** Requests that have not been answered yet. */
export class OpenRequests {
  readonly #open = new Set<Promise<void>>()

  add(response: ServerResponse): void {
    const closed = new Promise<void>((resolve) => {
      response.once('close', resolve)
    })
    this.#open.add(closed)
    closed.then(() => this.#open.delete(closed))
  }

  /** Resolves when the requests that are open now are answered or aborted, or after `ms`. */
  async answered(ms: number): Promise<void> {
    await withinMs(ms, Promise.all(this.#open))
  }
}
