import type { FastifyInstance, FastifyRequest } from 'fastify'

/** The statusHooks, by the instance that registered them: jambonz does not say which one a call:status is for. */
export class StatusHooks {
  readonly #paths = new Map<FastifyInstance, string>()

  /** Notes a statusHook. `path`: whole. The first of an instance counts. */
  add(instance: FastifyInstance, path: string): void {
    if (!this.#paths.has(instance)) this.#paths.set(instance, path)
  }

  /**
   * Returns the path of the statusHook in the scope of the socket's webhook, or in the nearest one around it, with the
   * parameters that both routes have. Undefined if there is none.
   */
  pathFor(socket: FastifyRequest): string | undefined {
    for (
      let scope: FastifyInstance | null = socket.server;
      scope !== null;
      scope = Object.getPrototypeOf(scope) as FastifyInstance | null
    ) {
      const path = this.#paths.get(scope)
      if (path !== undefined) return filledIn(path, socket)
    }
    return undefined
  }
}

/** Returns the path with the parameters of the socket's own route; undefined where one is missing. */
function filledIn(path: string, { params }: FastifyRequest): string | undefined {
  const values = (params ?? {}) as Record<string, string>
  let complete = true
  const filled = path.replace(/:(\w+)/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) complete = false
    return encodeURIComponent(value ?? '')
  })
  return complete ? filled : undefined
}
