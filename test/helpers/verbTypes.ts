import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import {
  loadJambonzSchemas,
  type JsonSchema,
  type NamedSchema,
  type PublishedSchemas
} from '../../lib/verbs/jambonzSchemas.js'

const HEADER = `// Generated from @jambonz/schema by \`npm run types:verbs\`: change test/helpers/verbTypes.ts instead.
// A test fails when the two differ.
`

/** verbs without a generated type, because lib/verbs/listenSchema.ts has their types */
const OWN = new Set(['listen', 'stream'])
/**
 * Matches the options of single speech vendors. They get no types, which would be most of the file, but are
 * still checked at run time.
 */
const VENDOR_OPTIONS = /\/components\/recognizer-/
const OPEN = 'Record<string, unknown>'
const MAX_DOC = 200

/** Returns the schemas of the installed @jambonz/schema. */
export function publishedSchemas(): PublishedSchemas {
  const root = dirname(createRequire(import.meta.url).resolve('@jambonz/schema/package.json'))
  const read = (folder: string) =>
    readdirSync(join(root, folder))
      .sort()
      .filter((file) => file.endsWith('.schema.json'))
      .map((file) => JSON.parse(readFileSync(join(root, folder, file), 'utf8')) as NamedSchema)
  return { verbs: read('verbs'), components: read('components') }
}

/** Returns TypeScript source that contains the published schemas, one schema per line. */
export function builtInSchemas(): string {
  const list = (schemas: readonly NamedSchema[]) =>
    schemas.map((schema) => `    ${JSON.stringify(schema, withoutExamples)}`).join(',\n')
  const { verbs, components } = publishedSchemas()
  return `${HEADER}
import type { PublishedSchemas } from './jambonzSchemas.js'

export const PUBLISHED_SCHEMAS = {
  verbs: [
${list(verbs)}
  ],
  components: [
${list(components)}
  ]
} as unknown as PublishedSchemas
`
}

/**
 * Drops `$schema` and `examples`, which no check needs. If `examples` is not an array, it is the name of a
 * property and is kept.
 */
function withoutExamples(name: string, value: unknown): unknown {
  return (name === 'examples' && Array.isArray(value)) || name === '$schema' ? undefined : value
}

/**
 * Returns TypeScript for the properties of each jambonz verb. The same schemas check these properties at run
 * time.
 */
export function verbTypes(): string {
  const { verbs, components } = loadJambonzSchemas(publishedSchemas())
  const names = new Map<string, string>()
  const shared = components.filter(({ $id }) => !VENDOR_OPTIONS.test($id))
  for (const { $id } of components) names.set($id, VENDOR_OPTIONS.test($id) ? OPEN : pascal(lastPart($id)))
  for (const [verb, { $id }] of verbs) names.set($id, OWN.has(verb) ? OPEN : `${pascal(verb)}Properties`)
  const described = [...verbs].filter(([verb]) => !OWN.has(verb))
  const declared = [...shared, ...described.map(([, schema]) => schema)].map((schema) =>
    declaration(schema, names)
  )
  const parts = declared.filter((part) => isUsed(part, declared))
  const map = described.map(([verb, { $id }]) => `  ${key(verb)}: ${names.get($id)}`)
  return `${HEADER}\n${parts.join('\n')}\n/** The properties of each verb, by its name. */\nexport interface JambonzVerbs {\n${map.join('\n')}\n}\n`
}

/** Returns false for a component that only the verbs in `OWN` use. Such a component is left out. */
function isUsed(part: string, all: string[]): boolean {
  const name = /export (?:interface|type) (\w+)/.exec(part)?.[1] ?? ''
  return (
    name.endsWith('Properties') ||
    all.some((other) => other !== part && new RegExp(`\\b${name}\\b`).test(other))
  )
}

function declaration(schema: NamedSchema, names: Map<string, string>): string {
  const name = names.get(schema.$id)
  const doc = comment(schema.description, '')
  const type = (part: JsonSchema, indent: string): string =>
    typeOf(part, indent, (ref) => {
      const local = schema.$defs?.[lastPart(ref)]
      return local !== undefined && ref.startsWith('#/$defs/')
        ? type(local, indent)
        : nameOf(ref, schema, names)
    })
  if (schema.properties === undefined) return `${doc}export type ${name} = ${type(schema, '')}\n`
  const bases = (schema.allOf ?? []).flatMap(({ $ref }) =>
    $ref === undefined ? [] : [nameOf($ref, schema, names)]
  )
  const inherited = (schema.required ?? [])
    .filter((property) => schema.properties?.[property] === undefined && property !== 'verb')
    .map((property) => `  ${key(property)}: NonNullable<${bases.join(' & ')}['${property}']>\n`)
  const heritage = bases.length > 0 ? ` extends ${bases.join(', ')}` : ''
  return `${doc}export interface ${name}${heritage} {\n${members(schema, '  ', type)}${inherited.join('')}}\n`
}

function members(
  schema: JsonSchema,
  indent: string,
  type: (part: JsonSchema, indent: string) => string
): string {
  const lines = Object.entries(schema.properties ?? {}).map(([name, part]) => {
    const ofPart = type(part, indent)
    const declared = schema.required?.includes(name) ? `: ${ofPart}` : `?: ${orUndefined(ofPart)}`
    return `${comment(part.description, indent)}${indent}${key(name)}${declared}\n`
  })
  return lines.join('')
}

/** Optional properties may be undefined, also for users who compile with `exactOptionalPropertyTypes`. */
function orUndefined(type: string): string {
  return type === 'unknown' ? type : `${type} | undefined`
}

function typeOf(schema: JsonSchema, indent: string, refer: (ref: string) => string): string {
  const recurse = (part: JsonSchema, deeper = indent) => typeOf(part, deeper, refer)
  if (schema.$ref !== undefined) return refer(schema.$ref)
  if (schema.const !== undefined) return literal(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(literal).join(' | ')
  if (schema.anyOf !== undefined) {
    return [...new Set(schema.anyOf.map((part) => oneLine(recurse(part))))].join(' | ')
  }
  switch (schema.type) {
    case 'string':
    case 'boolean':
      return schema.type
    case 'number':
    case 'integer':
      return 'number'
    case 'array':
      return `Array<${schema.items === undefined ? 'unknown' : oneLine(recurse(schema.items))}>`
    case 'object':
      return objectType(schema, indent, recurse)
    default:
      return 'unknown'
  }
}

function objectType(
  schema: JsonSchema,
  indent: string,
  recurse: (part: JsonSchema, indent: string) => string
): string {
  const { properties, additionalProperties } = schema
  if (properties === undefined) {
    const value = typeof additionalProperties === 'object' ? recurse(additionalProperties, indent) : 'unknown'
    return `Record<string, ${value}>`
  }
  const deeper = `${indent}  `
  const open = additionalProperties === false ? '' : `${deeper}[property: string]: unknown\n`
  return `{\n${members(schema, deeper, recurse)}${open}${indent}}`
}

function nameOf(ref: string, schema: NamedSchema, names: Map<string, string>): string {
  const name = names.get(new URL(ref, schema.$id).href)
  if (name === undefined) {
    throw new Error(`${schema.$id} refers to ${ref}, which is no schema of a verb or component`)
  }
  return name
}

/**
 * Returns the type in one line and without its comments, because a type after `|` or in an array would be
 * hard to indent.
 */
function oneLine(type: string): string {
  return type
    .replaceAll(/\/\*\*.*?\*\/\n/g, '')
    .replaceAll('{\n', '{ ')
    .replaceAll(/\n\s*}/g, ' }')
    .replaceAll(/\n\s*/g, ', ')
    .replaceAll(/ {2,}/g, ' ')
}

/** Returns the first sentence of a description as a comment. jambonz' documentation has the whole text. */
function comment(description: string | undefined, indent: string): string {
  if (description === undefined) return ''
  const sentence = /^.*?(?<!e\.g|i\.e|vs|etc)[.](?=\s|$)/s.exec(description)?.[0] ?? description
  const short = sentence.length > MAX_DOC ? `${sentence.slice(0, MAX_DOC)}…` : sentence
  return `${indent}/** ${short.replaceAll('*/', '* /').replaceAll(/\s+/g, ' ')} */\n`
}

const literal = (value: unknown) =>
  typeof value === 'string' ? `'${value.replaceAll("'", "\\'")}'` : JSON.stringify(value)
const key = (name: string) => (/^[A-Za-z_]\w*$/.test(name) ? name : `'${name}'`)
const lastPart = (id: string) => id.slice(id.lastIndexOf('/') + 1)
const pascal = (name: string) =>
  name
    .split(/[-_:]/)
    .map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`)
    .join('')

if (process.argv[1] === import.meta.filename) {
  writeFileSync('lib/verbs/publishedSchemas.ts', builtInSchemas())
  writeFileSync('lib/verbs/jambonzVerbs.ts', verbTypes())
}
