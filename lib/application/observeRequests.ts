import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Listen, StoredListen } from '../model/schema.js'
import type { Trace, Tracing } from '../listening/tracing.js'
import { withinMs } from '../model/time.js'
import type { Application } from './Application.js'
import { NO_CONTENT, warnOfStatus } from './hookUrls.js'
import { kStage, kTrace } from './request.js'

const INTERNAL_ERROR = 500
const SERVICE_UNAVAILABLE = 503

/**
 * The kind of a request of jambonz. `audio` is the upgrade of an audio socket. `application` is the upgrade
 * of an application websocket, whose messages count as requests of the other kinds.
 */
export type RequestKind = 'webhook' | 'actionHook' | 'statusHook' | 'audio' | 'application'

export type RequestOutcome = 'answered' | 'fallback' | 'refused' | 'failed' | 'aborted'

/** The counters of jambonz' requests. */
export interface RequestMetrics {
  requested(kind: RequestKind, outcome: RequestOutcome): void
  /** Counts an error of a request or a socket. */
  erred(error: Error & { code?: unknown }): void
  /** Counts a message of an application websocket. */
  messaged(type: string): void
  /** Counts verbs that came too late for an ack, and were sent as a command or dropped. */
  cameLate(outcome: 'sent' | 'dropped'): void
  /** Counts the `ms` between the arrival of an actionHook and the start of its handler. */
  hookWaited(ms: number, listen: Listen): void
}

/** Counts the requests of a scope, logs answers that jambonz ignores and, with tracing, creates a span for each request. */
export function observeRequests(
  scope: FastifyInstance,
  application: Pick<Application, 'metrics' | 'tracing' | 'warned'>,
  kind: RequestKind
): void {
  const { metrics, tracing } = application
  scope.addHook('onRequest', (request, reply, done) => {
    const trace = tracing && beginRequestSpan(tracing, request, kind)
    if (trace) request[kTrace] = trace
    // onResponse does not run if jambonz has closed the connection, so the close of the response is counted.
    // `on()` costs less than `once()`, and a response closes once.
    reply.raw.on('close', () => {
      metrics.requested(kind, outcomeOf(request, reply))
      if (kind !== 'statusHook' && reply.sent) warnOfStatus(application, request, reply.statusCode)
      if (trace) endRequestSpan(trace, request, reply)
    })
    done()
  })
  scope.addHook('onError', (request, _reply, error, done) => {
    metrics.erred(error)
    request[kTrace]?.fail(error)
    done()
  })
  // The context of the span is entered in this hook. In an earlier hook, it would be lost while the body is
  // read.
  if (tracing) {
    scope.addHook('preValidation', (request, _reply, done) => {
      if (request[kTrace]) request[kTrace].run(done)
      else done()
    })
  }
}

/** Counts the sockets that a scope refuses before their upgrade. */
export function observeSockets(
  scope: FastifyInstance,
  metrics: RequestMetrics,
  kind: 'audio' | 'application'
): void {
  scope.addHook('onError', (_request, _reply, error, done) => {
    metrics.erred(error)
    metrics.requested(kind, refusedOrFailed(error.statusCode ?? INTERNAL_ERROR))
    done()
  })
}

/**
 * Returns the listens of an answer with the trace of its request, so that the spans of the listens, on any
 * instance, belong to this trace.
 */
export function asTraced<Asked extends Pick<StoredListen, 'trace'>>(
  trace: Trace | null,
  listens: readonly Asked[]
): readonly Asked[] {
  return trace === null ? listens : listens.map((listen) => ({ ...listen, trace: trace.b3 }))
}

function outcomeOf(request: FastifyRequest, { sent, statusCode }: FastifyReply): RequestOutcome {
  if (!sent) return 'aborted'
  // A status hook that has failed is answered with 204.
  if (statusCode === NO_CONTENT && request[kStage] === 'failed') return 'failed'
  if (statusCode < 300) return request[kStage] === 'fallback' ? 'fallback' : 'answered'
  return refusedOrFailed(statusCode)
}

function refusedOrFailed(statusCode: number): RequestOutcome {
  return (statusCode >= 400 && statusCode < INTERNAL_ERROR) || statusCode === SERVICE_UNAVAILABLE
    ? 'refused'
    : 'failed'
}

function beginRequestSpan(
  tracing: Tracing,
  { headers, method, routeOptions: { url } }: FastifyRequest,
  kind: RequestKind
): Trace | undefined {
  return tracing.request(`${kind} ${url}`, {
    b3: headers.b3,
    attributes: { 'http.request.method': method, 'http.route': url }
  })
}

function endRequestSpan(
  trace: Trace,
  { call, listen }: FastifyRequest,
  { sent, statusCode }: FastifyReply
): void {
  trace.set({
    'http.response.status_code': sent ? statusCode : undefined,
    'jambonz.call_sid': call?.callSid,
    'jambonz.call_status': call?.callStatus,
    'jambonz.listen_id': listen?.id,
    'jambonz.end_reason': listen?.endReason
  })
  if (!sent) trace.fail('jambonz hung up before it was answered')
  trace.end()
}

/** The requests that are not answered yet. */
export class OpenRequests {
  readonly #open = new Set<Promise<void>>()

  add(response: ServerResponse): void {
    const closed = new Promise<void>((resolve) => {
      response.once('close', resolve)
    })
    this.#open.add(closed)
    closed.then(() => this.#open.delete(closed))
  }

  /** Resolves when the present requests are answered or aborted, or after `ms`. */
  async answered(ms: number): Promise<void> {
    await withinMs(ms, Promise.all(this.#open))
  }
}
