export { METRICS, type Definition, type RequestKind, type RequestOutcome } from './definitions.js'
export { Metrics } from './Metrics.js'
export { joinRegistry, type MetricsRegistry } from './registry.js'
