import type { ServerResponse } from 'node:http'
import { withinMs } from '../withinMs.js'

/** Requests that have not been answered yet. */
export class OpenRequests {
  readonly #responses = new Map<ServerResponse, Promise<void>>()

  add (response: ServerResponse): void {
    this.#responses.set(response, new Promise((resolve) => {
      response.once('close', () => {
        this.#responses.delete(response)
        resolve()
      })
    }))
  }

  /** Resolves when those that are open now are answered or given up; after `ms` at the latest. */
  async answered (ms: number): Promise<void> {
    await withinMs(ms, Promise.all(this.#responses.values()))
  }
}
