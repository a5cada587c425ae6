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

/** Finds what was noted of the route that a path leads to, parameters and wildcards included, as Fastify's own router does. */
export class RouteTable<T> {
  readonly #router

  /** `initialConfig`: the application's, whose settings of the router hold here too. */
  constructor({ initialConfig }: Pick<FastifyInstance, 'initialConfig'>) {
    // `routerOptions` is where Fastify has them now, the top level where it had them.
    const given: Record<string, unknown> = { ...initialConfig, ...initialConfig.routerOptions }
    this.#router = findMyWay(Object.fromEntries(SETTINGS.map((name) => [name, given[name]])))
  }

  /** Notes `value` for a route; false, and nothing is changed, where the table has the route already. */
  add(method: HTTPMethod, pattern: string, value: T): boolean {
    if (this.#router.hasRoute(method, pattern)) return false
    this.#router.on(method, pattern, () => {}, value)
    return true
  }

  /** Returns what was noted of the route that `path`, without its query, leads to. */
  find(method: HTTPMethod, path: string): T | undefined {
    return this.#router.find(method, path)?.store as T | undefined
  }
}
