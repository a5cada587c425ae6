import { Type, type TSchema } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import findMyWay, { type HTTPMethod } from 'find-my-way'
import type { AudioStream } from '../audio/stream/AudioStream.js'
import { PacedSchema } from '../audio/playback/Playback.js'
import { checkOptions } from '../model/checkOptions.js'
import { ERR_AUDIO_PATH } from '../model/errors.js'

const SETTINGS = [
  'caseSensitive',
  'ignoreTrailingSlash',
  'ignoreDuplicateSlashes',
  'maxParamLength',
  'allowUnsafeRegex',
  'useSemicolonDelimiter'
] as const

/** A table of values by route. It finds a path's route as Fastify's own router does, with parameters and wildcards. */
export class RouteTable<T> {
  readonly #router

  /** `initialConfig`: the configuration of the application, whose router settings apply here, too. */
  constructor({ initialConfig }: Pick<FastifyInstance, 'initialConfig'>) {
    // Newer versions of Fastify have these settings in `routerOptions`, older ones at the top level.
    const given: Record<string, unknown> = { ...initialConfig, ...initialConfig.routerOptions }
    this.#router = findMyWay(Object.fromEntries(SETTINGS.map((name) => [name, given[name]])))
  }

  /** Adds a route's value. Returns false, and changes nothing, if the table has the route already. */
  add(method: HTTPMethod, pattern: string, value: T): boolean {
    if (this.#router.hasRoute(method, pattern)) return false
    this.#router.on(method, pattern, () => {}, value)
    return true
  }

  /** Returns the value of the route that `path`, without its query, leads to. */
  find(method: HTTPMethod, path: string): T | undefined {
    return this.#router.find(method, path)?.store as T | undefined
  }
}

/**
 * Handles one stream. The socket may outlive the handler's promise. If the handler throws, the stream ends
 * with 1011.
 */
export type AudioHandler = (this: FastifyInstance, stream: AudioStream) => unknown

export interface AudioRouteOptions {
  /** false if the streams of this route are not recorded. Default: true if the option `recording` is set */
  record?: boolean | undefined
  /**
   * false if recordings of this route do not contain the application's audio. Default: the option
   * `recording.output`
   */
  output?: boolean | undefined
  /**
   * ms by which written audio is sent ahead of its playout, so that a hang-up wastes little of it; true
   * stands for 400. Default: false, which means that audio is sent as soon as it is written
   */
  paced?: boolean | number | undefined
}

const AudioRouteOptionsSchema = Type.Object(
  {
    record: Type.Optional(Type.Boolean()),
    output: Type.Optional(Type.Boolean()),
    paced: Type.Optional(PacedSchema)
  } satisfies Record<keyof AudioRouteOptions, TSchema>,
  { additionalProperties: false }
)

/** Throws FST_JAMBONZ_OPTIONS for an unknown or wrong option of `audio()`. `path`: the path of the route. */
export function checkAudioOptions(options: unknown, path: string): void {
  checkOptions(AudioRouteOptionsSchema, options, `options of audio('${path}')`)
}

export interface AudioRoute {
  /** whole path, prefixes included; a prefix may have parameters */
  path: string
  record: boolean
  output: boolean
  paced: boolean | number
  handler: AudioHandler | undefined
}

/** The audio routes of the application, by the paths that a listen's own `url` can name. */
export class AudioRoutes {
  readonly #routes: RouteTable<AudioRoute>

  constructor(fastify: Pick<FastifyInstance, 'initialConfig'>) {
    this.#routes = new RouteTable(fastify)
  }

  /**
   * Adds a route; `path` is its path within the scope that registers it. Throws FST_JAMBONZ_AUDIO_PATH for a
   * path with parameters, or a path that was added already.
   */
  add(route: AudioRoute, path: string): void {
    if (/[:*?#]/.test(path)) {
      throw new ERR_AUDIO_PATH(route.path, "must be a plain path: the listen's id becomes its last segment")
    }
    if (!this.#routes.add('GET', route.path, route)) {
      throw new ERR_AUDIO_PATH(route.path, 'is registered already: give each audio route a path of its own')
    }
  }

  /** Returns the route that a whole path, without its query, leads to. */
  find(path: string): AudioRoute | undefined {
    return this.#routes.find('GET', path)
  }
}
