import { SpanStatusCode, type SpanKind, type TextMapPropagator } from '@opentelemetry/api'
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  SimpleSpanProcessor,
  type ReadableSpan
} from '@opentelemetry/sdk-trace-node'
import { until } from './until.js'

/** The fields of a span that tests compare. */
export interface SeenSpan {
  name: string
  traceId: string
  spanId: string
  parentId: string | undefined
  kind: SpanKind
  attributes: ReadableSpan['attributes']
  /** the message of a span with status ERROR; otherwise undefined */
  error: string | undefined
  events: string[]
  links: string[]
}

export interface Spans {
  readonly ended: SeenSpan[]
  /**
   * Waits until a span with this name has ended and `fits` returns true for it. Resolves to the first such
   * span.
   */
  named(name: string, fits?: (span: SeenSpan) => boolean): Promise<SeenSpan>
  reset(): void
}

/** Registers OpenTelemetry's SDK for Node.js in this process. The result collects every span that ends. */
export function recordSpans(propagator?: TextMapPropagator): Spans {
  const exporter = new InMemorySpanExporter()
  new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register(
    propagator && { propagator }
  )
  return {
    get ended() {
      return exporter.getFinishedSpans().map(seen)
    },
    async named(name, fits = () => true) {
      return await until(
        () => this.ended.find((span) => span.name === name && fits(span)),
        `a span "${name}"`
      )
    },
    reset: () => exporter.reset()
  }
}

function seen(span: ReadableSpan): SeenSpan {
  const { name, parentSpanContext, attributes, status, events, links, kind } = span
  const { traceId, spanId } = span.spanContext()
  return {
    name,
    traceId,
    spanId,
    parentId: parentSpanContext?.spanId,
    kind,
    attributes,
    error: status.code === SpanStatusCode.ERROR ? (status.message ?? '') : undefined,
    events: events.map(({ name }) => name),
    links: links.map(({ context }) => context.traceId)
  }
}
