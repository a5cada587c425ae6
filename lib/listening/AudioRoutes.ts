import type { FastifyInstance } from 'fastify'
import { ERR_AUDIO_PATH } from '../model/errors.js'
import type { AudioStream } from '../audio/stream/AudioStream.js'

/** Receives one stream; the socket outlives its promise. One that throws ends the stream with 1011. */
export type AudioHandler = (this: FastifyInstance, stream: AudioStream) => unknown

export interface AudioRouteOptions {
  /** false: nothing of this route is recorded. Default: true, when the option `recording` is set */
  record?: boolean
  /**
   * ms by which audio written to the streams goes out ahead of the caller's ear, so that a hang-up wastes little of
   * it; true: 400. Default: false, as soon as it is written
   */
  paced?: boolean | number
}

export interface AudioRoute {
  /** whole path, prefixes included */
  path: string
  record: boolean
  paced: boolean | number
  handler: AudioHandler | undefined
}

/** The audio routes of the application: which path a listen's own `url` means. */
export class AudioRoutes {
  readonly #routes = new Map<string, AudioRoute>()

  add(route: AudioRoute): void {
    if (this.#routes.has(route.path)) {
      throw new ERR_AUDIO_PATH(route.path, 'is registered already: give each audio route a path of its own')
    }
    if (/[:*?#]/.test(route.path)) {
      throw new ERR_AUDIO_PATH(route.path, "must be a plain path: the listen's id becomes its last segment")
    }
    this.#routes.set(route.path, route)
  }

  /** The path that `path` names, read as a whole path or within `prefix`. */
  resolve(path: string, prefix: string): string | undefined {
    return [path, prefix + path].find((candidate) => this.#routes.has(candidate))
  }
}
