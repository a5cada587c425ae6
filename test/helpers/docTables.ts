import { readFileSync, writeFileSync } from 'node:fs'
import type { TSchema } from '@sinclair/typebox'
import { OptionsSchema } from '../../lib/index.js'
import { RecordingOptionsSchema } from '../../lib/recording/options.js'
import { ListenOptionsSchema } from '../../lib/verbs/index.js'
import { HOSTS } from '../hosts/hosts.js'
import { ERRORS, type ErrorRow } from '../../lib/model/errors.js'
import { METRICS } from '../../lib/metrics/Metrics.js'

/** options of every register() call, which Fastify reads itself */
const NOT_OURS = new Set(['logLevel', 'logSerializers'])

const TABLES: Record<string, Record<string, TSchema>> = {
  options: OptionsSchema.properties,
  limits: OptionsSchema.properties.limits.properties,
  recording: RecordingOptionsSchema.properties,
  listen: ListenOptionsSchema.properties
}

/** the pages whose tables are made from code */
export const PAGES = ['README.md', 'docs/observability.md', 'docs/compatibility.md', 'docs/recording.md']

function optionsTable(properties: Record<string, TSchema>): string {
  const rows = Object.entries(properties)
    .filter(([name]) => !NOT_OURS.has(name))
    .map(
      ([name, schema]) =>
        `| \`${name}\` | ${schema.description?.replaceAll('|', '\\|') ?? ''} | ${defaultOf(schema)} |`
    )
  return ['| option | meaning | default |', '|---|---|---|', ...rows].join('\n')
}

const MIB = 1024 * 1024

/**
 * Returns the text for the column `default`: the schema's default value, or its `unset`, which says what
 * applies without the option.
 */
function defaultOf({ default: value, unset, description = '' }: TSchema): string {
  if (value === undefined || value === '' || value === Infinity) {
    return (unset as string | undefined) ?? 'none'
  }
  if (typeof value === 'object') return 'those below'
  if (typeof value !== 'number') return `\`${String(value)}\``
  if (description.includes('bytes') && value % MIB === 0) return `${value / MIB} MiB`
  return value.toLocaleString('en')
}

function metricsTable(): string {
  const rows = Object.values(METRICS).map(({ name, type, help, labels }) => {
    const by = Object.keys(labels).join(', ')
    return `| \`${name}${by && `{${by}}`}\` | ${type} | ${help} |`
  })
  return ['| metric | type | what it says |', '|---|---|---|', ...rows].join('\n')
}

function hostsTable(): string {
  return [
    '| application | setting |',
    '|---|---|',
    ...HOSTS.map(({ name, tried }) => `| ${name} | ${tried} |`)
  ].join('\n')
}

const ofRecording = ({ code }: ErrorRow) => code.startsWith('FST_JAMBONZ_RECORDING_')

function errorsTable(errors: readonly ErrorRow[]): string {
  const rows = errors.map(({ code, status, when }) => `| \`${code}\` | ${status ?? '–'} | ${when} |`)
  return ['| code | status | when |', '|---|---|---|', ...rows].join('\n')
}

/** Returns the page with its tables replaced by tables that are made from the code. */
export function withTables(page: string): string {
  const tables = {
    ...Object.fromEntries(
      Object.entries(TABLES).map(([name, properties]) => [name, optionsTable(properties)])
    ),
    'errors': errorsTable(ERRORS.filter((error) => !ofRecording(error))),
    'recording errors': errorsTable(ERRORS.filter(ofRecording)),
    'metrics': metricsTable(),
    'hosts': hostsTable()
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
