import {
  Type,
  type Static,
  type TNumber,
  type TObject,
  type TOptional,
  type TProperties,
  type TSchema,
  type TUnsafe
} from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isCredentialName } from './credentials.js'
import { ERR_OPTIONS } from './errors.js'

/** ms of the longest timer of Node.js. A longer one fires at once. */
export const MAX_TIMER_MS = 2_147_483_647

export const MIB = 1024 * 1024

/**
 * Returns the schema of an option in ms. `minimum`: the shortest useful time. A value in seconds, given by mistake,
 * should be below it.
 */
export function Milliseconds(description: string, minimum: number): TNumber {
  return Type.Number({ minimum, maximum: MAX_TIMER_MS, description })
}

/** Returns the schema of an option in ms, or 0, which means never. */
export function MillisecondsOrNever(description: string, minimum: number): TUnsafe<number> {
  return Type.Unsafe<number>(
    Type.Union([Type.Literal(0), Type.Number({ minimum, maximum: MAX_TIMER_MS })], { description })
  )
}

/**
 * Throws FST_JAMBONZ_OPTIONS for options that do not match their schema. The error names the option, its value and the
 * allowed values. `prefix`: the name of the option that contains them, or empty.
 */
export function checkOptions(schema: TSchema, options: unknown, prefix = ''): void {
  const first = Value.Errors(schema, options).First()
  if (first === undefined) return
  const path = first.path.replaceAll('/', '.')
  const name = prefix === '' ? path.slice(1) || 'options' : prefix + path
  const { description } = first.schema
  const hint = typeof description === 'string' ? ` (${description})` : ''
  throw new ERR_OPTIONS(
    `${name}: ${allowed(first.schema) ?? first.message}, not ${shown(name, first.value)}${hint}`
  )
}

/** Returns the allowed values of a union, which TypeBox does not list; undefined for any other schema. */
function allowed({ anyOf }: TSchema): string | undefined {
  if (!Array.isArray(anyOf)) return undefined
  const kinds = (anyOf as TSchema[]).map(({ const: literal, type, minimum, maximum }) => {
    if (literal !== undefined) return String(literal)
    if (minimum !== undefined) return `a ${String(type)} from ${minimum} to ${maximum}`
    return type === 'array' ? 'an array' : `a ${String(type)}`
  })
  return kinds.length > 1 ? `one of ${kinds.join(', ')}` : kinds[0]
}

/** Returns a value for an error message, without secrets. */
function shown(name: string, value: unknown): string {
  return name.startsWith('api') || name.split('.').some(isCredentialName)
    ? 'what was given'
    : typeof value === 'bigint'
      ? `${value}n`
      : (JSON.stringify(value) ?? String(value))
}

/** The schema of an optional option with a default. */
export type WithDefault<T extends TSchema> = TOptional<T> & { default: Static<T> }

export function withDefault<T extends TSchema>(schema: T, value: Static<T>): WithDefault<T> {
  return Type.Optional({ ...schema, default: value }) as WithDefault<T>
}

/** The type of options with their defaults, by the properties of their schema. */
export type Resolved<Properties extends TProperties> = {
  readonly [Name in keyof Properties]:
    | ResolvedOption<Properties[Name]>
    | (Properties[Name] extends TOptional<TSchema> & { default: unknown }
        ? never
        : Properties[Name] extends TOptional<TSchema>
          ? undefined
          : never)
}
type ResolvedOption<T extends TSchema> = T extends { properties: infer Inner extends TProperties }
  ? Resolved<Inner>
  : Static<T>

/** Returns checked options, frozen, with the defaults of their schema, nested objects included. */
export function withDefaults<Properties extends TProperties>(
  schema: TObject<Properties>,
  options: object
): Resolved<Properties> {
  return resolve(schema, options) as Resolved<Properties>
}

function resolve(schema: TSchema, value: unknown): unknown {
  const properties = Object.entries((schema.properties ?? {}) as TProperties)
  // A schema of an object without properties is that of a class, such as a store.
  if (properties.length === 0 || typeof value !== 'object' || value === null) return value
  const given = value as Record<string, unknown>
  return Object.freeze(
    Object.fromEntries(
      properties.map(([name, property]) => [
        name,
        resolve(property, given[name] === undefined ? property.default : given[name])
      ])
    )
  )
}
