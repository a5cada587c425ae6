import type { FastifyInstance, FastifyRequest } from 'fastify'

type Serialize = (request: FastifyRequest) => unknown
type Serializers = Record<string, unknown> | undefined

/** pino keeps a logger's serializers under this name (pino.symbols.serializersSym). */
const PINO_SERIALIZERS = Symbol.for('pino.serializers')
const KEY = /([?&]key=)[^&#]*/g

/**
 * Returns a serializer of requests for the log, as the host's or the route's own, in which the key of a GET hook does not
 * show: whoever reads the log could call the hook with it.
 */
export function hideHookKey(instance: FastifyInstance, own: Serializers): Serialize {
  const inherited = (instance.log as unknown as Record<symbol, Serializers>)[PINO_SERIALIZERS]
  const serialize = (own?.req ?? inherited?.req ?? basics) as Serialize
  return (request) => withoutKey(serialize(request))
}

function withoutKey(logged: unknown): unknown {
  if (typeof logged === 'string') return logged.replace(KEY, '$1…')
  if (typeof logged !== 'object' || logged === null || !('url' in logged)) return logged
  const { url } = logged
  return typeof url === 'string' ? { ...logged, url: url.replace(KEY, '$1…') } : logged
}

function basics({ method, url }: FastifyRequest): object {
  return { method, url }
}
