import type { Definition } from './definitions.js'
import type { Sample } from './instruments.js'

/** One metric in Prometheus' text format, version 0.0.4. */
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
