import type { FastifyInstance } from 'fastify'
import { isBelow } from '../listening/ownUrl.js'
import { RouteTable } from '../model/RouteTable.js'
import type { RequestKind } from './observeRequests.js'

/** Marks a route of this plugin, in its `config`. */
export const kKind = Symbol('jambonz route')

declare module 'fastify' {
  interface FastifyContextConfig {
    [kKind]?: RequestKind
  }
}

/** The kind of a route of this plugin; `plain`: the route is the application's own. */
export type RouteKind = RequestKind | 'plain'

/** The routes of the application that jambonz may call, by path. */
export class JambonzRoutes {
  readonly #fastify: FastifyInstance
  readonly #routes: RouteTable<RouteKind>

  readonly #publicPath: string

  /**
   * Collects the routes that are registered from now on in `fastify` and its children. `publicPath`: the path of the
   * option `publicUrl`, which comes before the paths of hooks.
   */
  constructor(fastify: FastifyInstance, publicPath = '') {
    this.#fastify = fastify
    this.#publicPath = publicPath
    this.#routes = new RouteTable(fastify)
    fastify.addHook('onRoute', ({ method, url, config }) => {
      const methods = [method].flat()
      for (const one of ['GET', 'POST'] as const) {
        if (methods.includes(one)) this.#routes.add(one, url, config?.[kKind] ?? 'plain')
      }
    })
  }

  /** Returns true where the path of a hook, as jambonz has it, leads to an actionHook of this plugin. */
  has(path: string): boolean {
    return (
      isBelow(path, this.#publicPath) &&
      this.kindOf('POST', path.slice(this.#publicPath.length)) === 'actionHook'
    )
  }

  /** Returns the kind of the route that a whole path, without its query, leads to; undefined if there is none. */
  kindOf(method: 'GET' | 'POST', path: string): RouteKind | undefined {
    const kind = this.#routes.find(method, path)
    if (kind !== undefined) return kind
    // The route was registered before the plugin.
    return this.#fastify.hasRoute({ method, url: path }) ? 'plain' : undefined
  }
}
