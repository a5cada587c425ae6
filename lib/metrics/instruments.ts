import { thrownMessage } from '../model/json.js'
import type { Definition } from './Metrics.js'
import { ERR_OPTIONS } from '../model/errors.js'

/** One line of a metric, in the form of prom-client. */
export interface Sample {
  labels: Record<string, string | number>
  value: number
  /** the name, if it differs from the name of the metric: a histogram adds `_bucket`, `_sum` or `_count` */
  metricName?: string
}

export interface Instrument {
  readonly definition: Definition
  /** Returns the current samples; the caller may keep them. */
  samples(): Sample[]
  /** Counts from 0 again. */
  reset(): void
}

export class Counter implements Instrument {
  readonly definition: Definition
  readonly #names: readonly string[]
  readonly #samples = new Map<string, Sample>()

  constructor(definition: Definition) {
    this.definition = definition
    this.#names = Object.keys(definition.labels)
    for (const values of combinations(Object.values(definition.labels))) this.#sample(values)
  }

  /** Adds `amount` to a sample. `values`: the values of the labels, in the order of the labels. */
  add(amount: number, ...values: string[]): void {
    this.#sample(values).value += amount
  }

  samples(): Sample[] {
    return Array.from(this.#samples.values(), (sample) => ({ ...sample }))
  }

  reset(): void {
    for (const sample of this.#samples.values()) sample.value = 0
  }

  #sample(values: readonly string[]): Sample {
    const key = values.join('\n')
    let sample = this.#samples.get(key)
    if (sample === undefined) {
      sample = {
        labels: Object.fromEntries(this.#names.map((name, at) => [name, values[at] ?? ''])),
        value: 0
      }
      this.#samples.set(key, sample)
    }
    return sample
  }
}

/** A counter or gauge whose value is kept elsewhere. */
export class Reading implements Instrument {
  readonly definition: Definition
  readonly #read: () => number

  constructor(definition: Definition, read: () => number) {
    this.definition = definition
    this.#read = read
  }

  samples(): Sample[] {
    return [{ labels: {}, value: this.#read() }]
  }

  /** Does nothing, since the value is kept elsewhere. */
  reset(): void {}
}

export class Histogram implements Instrument {
  readonly definition: Definition
  /** counts per bucket; the last bucket has no upper bound */
  readonly #counts: number[]
  #sum = 0

  constructor(definition: Definition) {
    this.definition = definition
    this.#counts = Array.from({ length: definition.buckets.length + 1 }, () => 0)
  }

  observe(value: number): void {
    const at = this.definition.buckets.findIndex((bound) => value <= bound)
    const bucket = at === -1 ? this.#counts.length - 1 : at
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#sum += value
  }

  samples(): Sample[] {
    const { name, buckets } = this.definition
    let count = 0
    const cumulative = this.#counts.map((ofBucket, at) => {
      count += ofBucket
      return { metricName: `${name}_bucket`, labels: { le: buckets[at] ?? '+Inf' }, value: count }
    })
    return [
      ...cumulative,
      { metricName: `${name}_sum`, labels: {}, value: this.#sum },
      { metricName: `${name}_count`, labels: {}, value: count }
    ]
  }

  reset(): void {
    this.#counts.fill(0)
    this.#sum = 0
  }
}

function combinations(lists: ReadonlyArray<readonly string[]>): string[][] {
  return lists.reduce<string[][]>(
    (combined, values) => combined.flatMap((row) => values.map((value) => [...row, value])),
    [[]]
  )
}

/** Returns one metric in the text format of Prometheus, version 0.0.4. */
export function expose({ name, type, help }: Definition, samples: readonly Sample[]): string {
  const lines = samples.map(
    ({ metricName = name, labels, value }) => `${metricName}${labelsOf(labels)} ${value}\n`
  )
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function labelsOf(labels: Sample['labels']): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))
}

/**
 * The part of prom-client's `Registry` that the plugin uses. The application passes its registry, so that one
 * `/metrics` shows the metrics of the application and of the plugin.
 */
export interface MetricsRegistry {
  registerMetric(metric: { get(): Promise<unknown> }): void
}

const AGGREGATORS = {
  sum: (a: number, b: number) => a + b,
  min: Math.min,
  max: Math.max
}

/** The metrics in each registry. Several instances of the plugin with the same registry share its metrics. */
const shared = new WeakMap<MetricsRegistry, ReadonlyMap<string, SharedMetric>>()

/**
 * Registers metrics for the instruments. If another instance of the plugin has registered the metrics, adds
 * the instruments to them. Returns a function that removes the instruments. Their gauges then disappear, but
 * their counts stay, since counters must not fall. Throws FST_JAMBONZ_OPTIONS if the registry has other
 * metrics of these names.
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

/** Registers a metric, also if the registry was cleared since the last time. Throws FST_JAMBONZ_OPTIONS. */
function register(registry: MetricsRegistry, name: string, metric: SharedMetric): void {
  metric.name = name
  try {
    registry.registerMetric(metric)
  } catch (err) {
    throw new ERR_OPTIONS(
      `registry: ${thrownMessage(err)} Pass a registry that has no metrics of another copy of this plugin`
    )
  }
}

/** A metric in the form that a registry of prom-client accepts. */
class SharedMetric {
  /** name of the metric; a registry that writes OpenMetrics removes `_total` from it */
  name: string
  readonly help: string
  readonly type: Definition['type']
  readonly aggregator: Definition['aggregator']
  readonly #live = new Set<Instrument>()
  /** samples of the instruments that were removed */
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
