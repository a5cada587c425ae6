export { METRICS, type Definition } from './definitions.js'
export { Metrics } from './Metrics.js'
export { joinRegistry, type MetricsRegistry } from './registry.js'
