import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Metrics, RequestKind, RequestOutcome } from '../metrics/index.js'
import type { Runtime } from '../Runtime.js'
import { beginRequest, endRequest } from '../tracing/index.js'
import { kStage, kTrace } from './request.js'

const INTERNAL_ERROR = 500
const SERVICE_UNAVAILABLE = 503

/** Counts what jambonz asks of a scope's routes and, where there is tracing, gives each request a span. */
export function observeRequests(
  scope: FastifyInstance,
  { metrics, tracing }: Pick<Runtime, 'metrics' | 'tracing'>,
  kind: RequestKind
): void {
  scope.addHook('onRequest', (request, reply, done) => {
    const trace = tracing && beginRequest(tracing, request, kind)
    if (trace) request[kTrace] = trace
    // Also when jambonz has hung up, which onResponse is not told of.
    reply.raw.once('close', () => {
      metrics.requested(kind, outcomeOf(request, reply))
      if (trace) endRequest(trace, request, reply)
    })
    done()
  })
  scope.addHook('onError', (request, _reply, error, done) => {
    metrics.erred(error)
    request[kTrace]?.fail(error)
    done()
  })
  // From here on, as the reading of the body does not keep the context.
  if (tracing) {
    scope.addHook('preValidation', (request, _reply, done) => {
      if (request[kTrace]) request[kTrace].run(done)
      else done()
    })
  }
}

/** Counts what a scope of audio sockets refuses before their upgrade. */
export function observeSockets(scope: FastifyInstance, metrics: Metrics): void {
  scope.addHook('onError', (_request, _reply, error, done) => {
    metrics.erred(error)
    metrics.requested('audio', refusedOrFailed(error.statusCode ?? INTERNAL_ERROR))
    done()
  })
}

function outcomeOf(request: FastifyRequest, { sent, statusCode }: FastifyReply): RequestOutcome {
  if (!sent) return 'aborted'
  if (statusCode < 300) return request[kStage] === 'fallback' ? 'fallback' : 'answered'
  return refusedOrFailed(statusCode)
}

function refusedOrFailed(statusCode: number): RequestOutcome {
  return (statusCode >= 400 && statusCode < INTERNAL_ERROR) || statusCode === SERVICE_UNAVAILABLE
    ? 'refused'
    : 'failed'
}
