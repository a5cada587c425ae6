import type { Tracing } from '../model/tracing.js'

/** Resolves to undefined when `@opentelemetry/api` is not installed. */
export async function loadTracing(): Promise<Tracing | undefined> {
  try {
    const api = await import('@opentelemetry/api')
    const { OpenTelemetry } = await import('./OpenTelemetry.js')
    return new OpenTelemetry(api)
  } catch (err) {
    if ((err as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw err
  }
}
