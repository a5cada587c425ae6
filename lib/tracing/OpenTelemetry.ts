import { randomBytes } from 'node:crypto'
import type { Context, Span, SpanContext, SpanKind, Tracer, TracerProvider } from '@opentelemetry/api'
import { isError, thrownMessage } from '../model/json.js'
import type { Attributes, SpanOptions, Trace, Tracing } from '../listening/tracing.js'
import { isNotInstalled } from '../model/errors.js'

type Api = typeof import('@opentelemetry/api')

const TRACE_ID_BYTES = 16
const SPAN_ID_BYTES = 8

const NAME = 'fastify-jambonz-listen'

/** A provider of the API, which delegates to the provider of an SDK, or the provider of an SDK itself. */
type Provider = TracerProvider & { getDelegateTracer?: (name: string) => Tracer | undefined }

interface Place {
  kind: SpanKind
  parent: Context
  /** a span of another trace that the new span is linked to */
  linked: SpanContext | undefined
}

/** Tracing with @opentelemetry/api. The application may register its SDK before or after the plugin. */
export class OpenTelemetry implements Tracing {
  readonly #api: Api
  #known: Tracer | undefined

  constructor(api: Api) {
    this.#api = api
  }

  request(name: string, options: SpanOptions): Trace | undefined {
    const tracer = this.#tracer()
    if (tracer === undefined) return undefined
    const { SpanKind, context } = this.#api
    const [active, remote] = [this.#active(), this.#remote(options.b3)]
    // If an HTTP instrumentation has begun a span for the request, this span becomes the parent, since a
    // request has one trace. If jambonz has begun another trace, the new span gets a link to jambonz' trace.
    return active
      ? this.#begin(tracer, name, options, {
          kind: SpanKind.INTERNAL,
          parent: context.active(),
          linked: remote
        })
      : this.#begin(tracer, name, options, {
          kind: SpanKind.SERVER,
          parent: this.#after(remote),
          linked: undefined
        })
  }

  task(name: string, options: SpanOptions): Trace | undefined {
    const tracer = this.#tracer()
    if (tracer === undefined) return undefined
    const [active, remote] = [this.#active(), this.#remote(options.b3)]
    return this.#begin(tracer, name, options, {
      kind: this.#api.SpanKind.SERVER,
      parent: this.#after(remote),
      linked: active
    })
  }

  /** Returns the tracer of the application's SDK; undefined as long as there is none, since nothing is traced then. */
  #tracer(): Tracer | undefined {
    if (this.#known !== undefined) return this.#known
    // Until an SDK is registered, the API has a provider that delegates to no other.
    const provider: Provider = this.#api.trace.getTracerProvider()
    this.#known = provider.getDelegateTracer ? provider.getDelegateTracer(NAME) : provider.getTracer(NAME)
    return this.#known
  }

  #begin(
    tracer: Tracer,
    name: string,
    { attributes, startedAt }: SpanOptions,
    { kind, parent, linked }: Place
  ): Trace | undefined {
    const parentSpan = this.#api.trace.getSpanContext(parent)
    const link = linked && linked.traceId !== parentSpan?.traceId ? linked : undefined
    const span = tracer.startSpan(
      name,
      { kind, attributes, startTime: startedAt, links: link && [{ context: link }] },
      parent
    )
    const { spanId } = span.spanContext()
    // A tracer that traces nothing, for example while tracing is suppressed, returns the parent or the invalid span.
    if (spanId === parentSpan?.spanId || spanId === this.#api.INVALID_SPANID) return undefined
    return new SpanTrace(this.#api, span, parent)
  }

  #active(): SpanContext | undefined {
    const { trace, context, isSpanContextValid } = this.#api
    const active = trace.getSpanContext(context.active())
    return active && isSpanContextValid(active) ? active : undefined
  }

  #remote(b3: unknown): SpanContext | undefined {
    const { TraceFlags } = this.#api
    const from = readB3(b3)
    if (from === undefined) return undefined
    // The parent is an unsampled span, so that its children are not sampled either.
    if (from === 'denied') {
      return {
        traceId: randomHex(TRACE_ID_BYTES),
        spanId: randomHex(SPAN_ID_BYTES),
        traceFlags: TraceFlags.NONE,
        isRemote: true
      }
    }
    const { traceId, spanId, sampled } = from
    return { traceId, spanId, traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE, isRemote: true }
  }

  #after(remote: SpanContext | undefined): Context {
    const { trace, context } = this.#api
    return remote ? trace.setSpanContext(context.active(), remote) : context.active()
  }
}

class SpanTrace implements Trace {
  readonly #api: Api
  readonly #span: Span
  readonly #within: Context
  #failed = false

  constructor(api: Api, span: Span, parent: Context) {
    this.#api = api
    this.#span = span
    this.#within = api.trace.setSpan(parent, span)
  }

  get b3(): string {
    const { traceId, spanId, traceFlags } = this.#span.spanContext()
    return writeB3(traceId, spanId, (traceFlags & this.#api.TraceFlags.SAMPLED) !== 0)
  }

  run<T>(run: () => T): T {
    return this.#api.context.with(this.#within, run)
  }

  set(attributes: Attributes): void {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined) this.#span.setAttribute(name, value)
    }
  }

  fail(reason: unknown): void {
    if (this.#failed) return
    this.#failed = true
    if (isError(reason)) {
      const { code } = reason as { code?: unknown }
      this.#span.recordException(reason)
      this.set({ 'error.type': typeof code === 'string' ? code : reason.name })
    }
    this.#span.setStatus({
      code: this.#api.SpanStatusCode.ERROR,
      message: thrownMessage(reason)
    })
  }

  end(): void {
    this.#span.end()
  }
}

function randomHex(bytes: number): string {
  return randomBytes(bytes).toString('hex')
}

/** A parsed `b3` header: the ids of a span, or `denied`, which forbids tracing. */
export type B3 = { traceId: string; spanId: string; sampled: boolean } | 'denied'

const IDS = /^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d]))?(?:-[0-9a-f]{16})?$/i
const TRACE_ID_HEX = 32
const ZEROS = /^0+$/

/**
 * Parses a single `b3` header (openzipkin/b3-propagation): `<traceId>-<spanId>[-<0|1|d>][-<parentSpanId>]`, or `0`.
 * jambonz sends `<traceId>-<spanId>-1`. Short trace ids are filled up with zeros. A header without a decision on
 * sampling counts as sampled. Returns undefined for anything else.
 */
export function readB3(header: unknown): B3 | undefined {
  if (typeof header !== 'string') return undefined
  if (header === '0') return 'denied'
  const [, traceId, spanId, sampling] = IDS.exec(header) ?? []
  if (traceId === undefined || spanId === undefined || ZEROS.test(traceId) || ZEROS.test(spanId)) {
    return undefined
  }
  return {
    traceId: traceId.toLowerCase().padStart(TRACE_ID_HEX, '0'),
    spanId: spanId.toLowerCase(),
    sampled: sampling !== '0'
  }
}

export function writeB3(traceId: string, spanId: string, sampled: boolean): string {
  return `${traceId}-${spanId}-${sampled ? '1' : '0'}`
}

/** Resolves to the tracing; undefined if `@opentelemetry/api` is not installed. */
export async function loadTracing(): Promise<Tracing | undefined> {
  try {
    return new OpenTelemetry(await import('@opentelemetry/api'))
  } catch (err) {
    if (isNotInstalled(err)) return undefined
    throw err
  }
}
