import findMyWay, { type HTTPMethod } from 'find-my-way'
import type { FastifyInstance } from 'fastify'

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

  /** `initialConfig`: the application's, whose settings of the router hold here too. */
  constructor({ initialConfig }: Pick<FastifyInstance, 'initialConfig'>) {
    // Fastify now has them in `routerOptions`; it had them at the top level.
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
