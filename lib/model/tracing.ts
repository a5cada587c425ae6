// What the lower floors know of tracing. No type of @opentelemetry/api stands here: it need not be installed.

export type Attributes = Record<string, string | number | boolean | undefined>

export interface SpanOptions {
  attributes: Attributes
  /** a `b3` header: where the span comes from */
  b3: unknown
  /** ms since the epoch; default now */
  startedAt?: number
}

/** A span of ours. */
export interface Trace {
  /** as a `b3` header */
  readonly b3: string
  /** Calls `run` inside the span: spans begun there, and in whatever it awaits, are its children. */
  run<T>(run: () => T): T
  /** Sets attributes; those that are undefined are left out. */
  set(attributes: Attributes): void
  /** Sets the span's status to ERROR, with the first reason that is given; an `Error` is recorded, too. */
  fail(reason: Error | string): void
  /** Ends the span: called once, last. */
  end(): void
}

/** Begins spans; both methods return undefined where no SDK is registered. */
export interface Tracing {
  /** Begins the span of a request: inside the active span, where an instrumentation of HTTP has begun one; else after `b3`. */
  request(name: string, options: SpanOptions): Trace | undefined
  /** Begins the span of what goes on by itself: after `b3`, whatever is active. */
  task(name: string, options: SpanOptions): Trace | undefined
}
