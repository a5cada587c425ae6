import { ERR_OPTIONS } from '../model/errors.js'
import type { Definition } from './definitions.js'
import type { Instrument, Sample } from './instruments.js'

/**
 * The part of prom-client's `Registry` that is used. It is the application's registry, so that one `/metrics` shows
 * everything.
 */
export interface MetricsRegistry {
  registerMetric(metric: { get(): Promise<unknown> }): void
}

const AGGREGATORS = {
  sum: (a: number, b: number) => a + b,
  min: Math.min,
  max: Math.max
}

/** The metrics of each registry: whoever joins is counted together with those that have. */
const shared = new WeakMap<MetricsRegistry, ReadonlyMap<string, SharedMetric>>()

/**
 * Puts the instruments into the registry, or, where another instance of the plugin has put its own there, adds them to
 * those. Returns what takes them out: gauges disappear, what was counted stays, since counters never fall. Throws
 * FST_JAMBONZ_OPTIONS where the registry has something else of these names.
 */
export function joinRegistry(registry: MetricsRegistry, instruments: readonly Instrument[]): () => void {
  const metrics =
    shared.get(registry) ??
    new Map(instruments.map(({ definition }) => [definition.name, new SharedMetric(definition)]))
  for (const [name, metric] of metrics) register(registry, name, metric)
  shared.set(registry, metrics)
  for (const instrument of instruments) metrics.get(instrument.definition.name)?.add(instrument)
  return () => {
    for (const instrument of instruments) metrics.get(instrument.definition.name)?.remove(instrument)
  }
}

/** Also one that is there: the registry may have been cleared since, and takes the same metric twice. */
function register(registry: MetricsRegistry, name: string, metric: SharedMetric): void {
  metric.name = name
  try {
    registry.registerMetric(metric)
  } catch (err) {
    throw new ERR_OPTIONS(
      `registry: ${err instanceof Error ? err.message : String(err)} Pass a registry that has no metrics of another copy of this plugin`
    )
  }
}

/** A metric as prom-client's registries know them. */
class SharedMetric {
  /** changed by a registry that writes OpenMetrics, where a counter's name has no `_total` */
  name: string
  readonly help: string
  readonly type: Definition['type']
  readonly aggregator: Definition['aggregator']
  readonly #live = new Set<Instrument>()
  /** what those that left had counted */
  #past: Sample[] = []

  constructor({ name, help, type, aggregator }: Definition) {
    this.name = name
    this.help = help
    this.type = type
    this.aggregator = aggregator
  }

  add(instrument: Instrument): void {
    this.#live.add(instrument)
  }

  remove(instrument: Instrument): void {
    if (this.#live.delete(instrument) && this.type !== 'gauge') {
      this.#past = this.#sum([this.#past, instrument.samples()])
    }
  }

  async get(): Promise<{ name: string; help: string; type: string; aggregator: string; values: Sample[] }> {
    const { name, help, type, aggregator } = this
    return {
      name,
      help,
      type,
      aggregator,
      values: this.#sum([this.#past, ...Array.from(this.#live, (instrument) => instrument.samples())])
    }
  }

  reset(): void {
    this.#past = []
    for (const instrument of this.#live) instrument.reset()
  }

  #sum(lists: Sample[][]): Sample[] {
    const sums = new Map<string, Sample>()
    for (const sample of lists.flat()) {
      const key = JSON.stringify([sample.metricName, sample.labels])
      const before = sums.get(key)
      if (before === undefined) sums.set(key, { ...sample })
      else before.value = AGGREGATORS[this.aggregator](before.value, sample.value)
    }
    return Array.from(sums.values())
  }
}
