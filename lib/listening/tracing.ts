import type { StreamEnd } from '../audio/socket/types.js'
import type { AudioCounts, Listen, StoredListen } from '../model/schema.js'

// The interface of tracing for the lower folders. It uses no types of @opentelemetry/api, which is optional.

export type Attributes = Record<string, string | number | boolean | undefined>

export interface SpanOptions {
  attributes: Attributes
  /** a `b3` header that names the parent of the span */
  b3: unknown
  /** ms since the epoch; default: now */
  startedAt?: number
}

/** A span of the plugin. */
export interface Trace {
  /** the span as a `b3` header */
  readonly b3: string
  /**
   * Calls `run` inside the span. Spans that begin in `run`, or in anything that `run` awaits, are children of
   * the span.
   */
  run<T>(run: () => T): T
  /** Sets attributes, and leaves out the undefined ones. */
  set(attributes: Attributes): void
  /** Sets the span's status to ERROR, with the reason of the first call. If the reason is an `Error`, records it. */
  fail(reason: unknown): void
  /** Ends the span. Must be called once, after all other methods. */
  end(): void
}

/** Begins spans. Both methods return undefined if no SDK is registered. */
export interface Tracing {
  /**
   * Begins the span of a request. Its parent is the active span, if an HTTP instrumentation has begun one. If
   * not, its parent is the span in `b3`.
   */
  request(name: string, options: SpanOptions): Trace | undefined
  /** Begins the span of a background task. Its parent is the span in `b3`, even if another span is active. */
  task(name: string, options: SpanOptions): Trace | undefined
}

/** Begins the span of one socket of a listen. `openedAt`: ms since the epoch. */
export function beginListenSpan(
  tracing: Tracing,
  { id, callSid, path, trace }: StoredListen,
  openedAt: number
): Trace | undefined {
  return tracing.task(`listen ${path}`, {
    b3: trace,
    startedAt: openedAt,
    attributes: { 'http.route': path, 'jambonz.call_sid': callSid, 'jambonz.listen_id': id }
  })
}

export interface SocketEnd extends StreamEnd {
  /** the audio of this socket */
  audio: AudioCounts
  /** true if another instance continues the listen */
  handedOver: boolean
}

/** Ends the span of a socket, with the outcome of its listen. */
export function endListenSpan(
  trace: Trace,
  listen: Listen,
  { audio, reason, error, handedOver }: SocketEnd
): void {
  const { mixType, sampleRate, recording, recordingError } = listen
  trace.set({
    'jambonz.end_reason': reason,
    'jambonz.mix_type': mixType,
    'jambonz.sample_rate': sampleRate,
    'jambonz.audio.frames': audio.frames,
    'jambonz.audio.bytes': audio.bytes,
    'jambonz.audio.duration_ms': audio.durationMs,
    'jambonz.audio.gap_ms': audio.gapMs,
    'jambonz.recording.location': recording?.location,
    'jambonz.handed_over': handedOver
  })
  if (error) trace.fail(error)
  else if (reason === 'error') trace.fail('the stream failed')
  else if (reason === 'lost') trace.fail('the connection was lost')
  else if (recordingError !== undefined) trace.fail(recordingError)
  trace.end()
}
