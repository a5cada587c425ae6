/** What a `b3` header says: the span it comes from, or that nothing is to be traced. */
export type B3 = { traceId: string; spanId: string; sampled: boolean } | 'denied'

const IDS = /^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d]))?(?:-[0-9a-f]{16})?$/i
const TRACE_ID_HEX = 32
const ZEROS = /^0+$/

/**
 * The single `b3` header (openzipkin/b3-propagation): `<traceId>-<spanId>[-<0|1|d>][-<parentSpanId>]`, or `0`. jambonz
 * sends `<traceId>-<spanId>-1`. Short trace ids are filled up with zeros. Without a decision on sampling, the decision
 * is ours, and it is to sample. Undefined for anything else.
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
