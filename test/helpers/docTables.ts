import { readFileSync, writeFileSync } from 'node:fs'
import type { TSchema } from '@sinclair/typebox'
import { OptionsSchema } from '../../lib/index.js'
import { RecordingOptionsSchema } from '../../lib/recording/index.js'
import { ListenOptionsSchema } from '../../lib/verbs/index.js'
import { HOSTS } from '../hosts/hosts.js'
import { METRICS } from '../../lib/metrics/index.js'

/** Fastify's own options of every register(). */
const NOT_OURS = new Set(['logLevel', 'logSerializers'])

const TABLES: Record<string, Record<string, TSchema>> = {
  options: OptionsSchema.properties,
  limits: (OptionsSchema.properties.limits as unknown as { properties: Record<string, TSchema> }).properties,
  recording: RecordingOptionsSchema.properties,
  listen: ListenOptionsSchema.properties
}

/** The pages that have tables. */
export const PAGES = ['README.md', 'docs/observability.md', 'docs/compatibility.md']

function optionsTable(properties: Record<string, TSchema>): string {
  const rows = Object.entries(properties)
    .filter(([name]) => !NOT_OURS.has(name))
    .map(([name, { description, default: standard }]) => {
      const said =
        description?.includes('Default') || standard === undefined ? '' : `. Default: \`${String(standard)}\``
      return `| \`${name}\` | ${description?.replaceAll('|', '\\|') ?? ''}${said} |`
    })
  return ['| option | meaning |', '|---|---|', ...rows].join('\n')
}

function metricsTable(): string {
  const rows = Object.values(METRICS).map(({ name, type, help, labels }) => {
    const by = Object.keys(labels).join(', ')
    return `| \`${name}${by && `{${by}}`}\` | ${type} | ${help} |`
  })
  return ['| metric | type | what it says |', '|---|---|---|', ...rows].join('\n')
}

function hostsTable(): string {
  return ['| beside | as |', '|---|---|', ...HOSTS.map(({ name, tried }) => `| ${name} | ${tried} |`)].join(
    '\n'
  )
}

/** A page with its tables as the code has them. */
export function withTables(page: string): string {
  const tables = {
    ...Object.fromEntries(
      Object.entries(TABLES).map(([name, properties]) => [name, optionsTable(properties)])
    ),
    metrics: metricsTable(),
    hosts: hostsTable()
  }
  return Object.entries(tables).reduce(
    (text, [name, table]) =>
      text.replace(
        new RegExp(`(<!-- table: ${name} -->)[^]*?(<!-- end -->)`),
        (_, start: string, end: string) => `${start}\n${table}\n${end}`
      ),
    page
  )
}

if (process.argv[1] === import.meta.filename) {
  for (const page of PAGES) writeFileSync(page, withTables(readFileSync(page, 'utf8')))
}
