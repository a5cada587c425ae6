// The interface of tracing for the lower folders. It uses no types of @opentelemetry/api, which is optional.

export type Attributes = Record<string, string | number | boolean | undefined>

export interface SpanOptions {
  attributes: Attributes
  /** the `b3` header with the parent of the span */
  b3: unknown
  /** ms since the epoch; default: now */
  startedAt?: number
}

/** A span of the plugin. */
export interface Trace {
  /** the span as a `b3` header */
  readonly b3: string
  /** Calls `run` inside the span: spans that begin in it, or in what it awaits, are its children. */
  run<T>(run: () => T): T
  /** Sets attributes. Those that are undefined are left out. */
  set(attributes: Attributes): void
  /** Sets the span's status to ERROR, with the first given reason. Also records an `Error`. */
  fail(reason: Error | string): void
  /** Ends the span. It is called once, after all others. */
  end(): void
}

/** Begins spans. Both methods return undefined if no SDK is registered. */
export interface Tracing {
  /** Begins the span of a request. Its parent is the active span, if an HTTP instrumentation has begun one; else `b3`. */
  request(name: string, options: SpanOptions): Trace | undefined
  /** Begins the span of a background task. Its parent is `b3`, whatever span is active. */
  task(name: string, options: SpanOptions): Trace | undefined
}
