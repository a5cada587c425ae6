import { readFileSync, writeFileSync } from 'node:fs'
import type { TSchema } from '@sinclair/typebox'
import { ListenOptionsSchema, OptionsSchema, RecordingOptionsSchema } from '../../lib/index.js'

/** Fastify's own options of every register(). */
const NOT_OURS = new Set(['prefix', 'logLevel', 'logSerializers'])

const TABLES: Record<string, Record<string, TSchema>> = {
  options: OptionsSchema.properties,
  limits: (OptionsSchema.properties.limits as unknown as { properties: Record<string, TSchema> }).properties,
  recording: RecordingOptionsSchema.properties,
  listen: ListenOptionsSchema.properties
}

function table (properties: Record<string, TSchema>): string {
  const rows = Object.entries(properties)
    .filter(([name]) => !NOT_OURS.has(name))
    .map(([name, { description, default: standard }]) => {
      const said = description?.includes('Default') || standard === undefined ? '' : `. Default: \`${String(standard)}\``
      return `| \`${name}\` | ${description?.replaceAll('|', '\\|') ?? ''}${said} |`
    })
  return ['| option | meaning |', '|---|---|', ...rows].join('\n')
}

/** The README with its tables of options as the schemas have them. */
export function withTables (readme: string): string {
  return Object.entries(TABLES).reduce((text, [name, properties]) => text.replace(
    new RegExp(`(<!-- table: ${name} -->)[^]*?(<!-- end -->)`),
    (_, start: string, end: string) => `${start}\n${table(properties)}\n${end}`
  ), readme)
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync('README.md', withTables(readFileSync('README.md', 'utf8')))
}
