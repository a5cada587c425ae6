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
import { ValueErrorType, type ValueError } from '@sinclair/typebox/errors'
import { Value } from '@sinclair/typebox/value'
import { isCredentialName } from './credentials.js'
import { ERR_OPTIONS } from './errors.js'

/** ms of the longest timer of Node.js. A longer timer fires at once. */
export const MAX_TIMER_MS = 2_147_483_647

export const MIB = 1024 * 1024

/**
 * The type, with `undefined` as a further value of each optional property, at every depth. With it, users who compile
 * with `exactOptionalPropertyTypes`, as `tsc --init` sets it, may pass a variable that may be undefined.
 */
export type OrUndefined<T> = T extends (...args: never[]) => unknown
  ? T
  : T extends object
    ? { [Name in keyof T]: OrUndefined<T[Name]> | (object extends Pick<T, Name> ? undefined : never) }
    : T

/**
 * Returns the schema of an option in ms. `minimum`: the shortest useful time, so large that a value in
 * seconds, given by mistake, is refused.
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
 * Throws for options that do not match their schema. The error names the option, its value and the allowed values.
 * `prefix`: the name of the option that contains them, or empty. `Wrong`: the class of the error, by default
 * FST_JAMBONZ_OPTIONS.
 */
export function checkOptions(
  schema: TSchema,
  options: unknown,
  prefix = '',
  Wrong: new (text: string) => Error = ERR_OPTIONS
): void {
  const errors = [...Value.Errors(schema, options)]
  // An unknown name is reported first, since it may be the misspelled name of a missing option.
  const error = errors.find(({ type }) => type === ValueErrorType.ObjectAdditionalProperties) ?? errors[0]
  if (error === undefined) return
  const path = error.path.replaceAll('/', '.')
  const name = prefix === '' ? path.slice(1) || 'options' : prefix + path
  throw new Wrong(`${name}: ${problemOf(name, error)}`)
}

/** A link in the markdown of a description. */
const LINK = /\[([^\]]*)\]\([^)]*\)/g

/** Returns what is wrong with an option and what is allowed, in words that follow its name. */
function problemOf(name: string, { type, schema, value, message }: ValueError): string {
  if (type === ValueErrorType.ObjectAdditionalProperties) {
    const word = name.slice(name.lastIndexOf('.') + 1)
    return `there is no such option${didYouMean(word, Object.keys((schema.properties ?? {}) as object))}`
  }
  const { description } = schema
  const hint = typeof description === 'string' ? ` (${description.replaceAll(LINK, '$1')})` : ''
  const expected = allowed(schema, value) ?? message
  if (type === ValueErrorType.ObjectRequiredProperty) return `is missing: it has to be ${expected}${hint}`
  // An option with a default is no secret, so its value is shown.
  return `${expected}, not ${shown(schema.default === undefined ? name : '', value)}${hint}`
}

/** Returns the allowed values of a schema, in words; undefined if it has no words for them. */
function allowed(schema: TSchema, value: unknown): string | undefined {
  const { anyOf, type, pattern, minLength = 0, form } = schema as Described
  if (anyOf !== undefined) return alternatives(anyOf, value)
  if (type === 'string') {
    if (pattern !== undefined) return form ?? `a string that matches ${pattern}`
    return minLength > 1
      ? `a string of ${minLength} characters or more`
      : `a string${minLength === 1 ? ' that is not empty' : ''}`
  }
  if (type === 'number' || type === 'integer') return rangeOf(schema)
  if (type === 'array' && Array.isArray(value) && value.length === 0) return 'an array that is not empty'
  return type === undefined ? undefined : KINDS[type]
}

/** The keywords of options' schemas. `form`: a pattern in words. */
interface Described {
  anyOf?: TSchema[]
  type?: string
  pattern?: string
  minLength?: number
  form?: string
}

const KINDS: Readonly<Record<string, string>> = {
  boolean: 'true or false',
  object: 'an object',
  array: 'an array',
  Function: 'a function'
}

function rangeOf({ type, minimum, exclusiveMinimum, maximum }: TSchema): string {
  const kind = type === 'integer' ? 'a whole number' : 'a number'
  if (exclusiveMinimum !== undefined) return `${kind} above ${exclusiveMinimum}`
  if (minimum === undefined) return maximum === undefined ? kind : `${kind} of ${maximum} or less`
  return maximum === undefined ? `${kind} of ${minimum} or more` : `${kind} from ${minimum} to ${maximum}`
}

/**
 * Returns the allowed values of a union. If the value is no string, strings are quoted, since the number 11
 * is not "11".
 */
function alternatives(schemas: readonly TSchema[], value: unknown): string | undefined {
  const kinds = schemas.map((schema) => {
    const { const: literal, type } = schema
    if (literal !== undefined) {
      return typeof literal === 'string' && typeof value !== 'string'
        ? JSON.stringify(literal)
        : String(literal)
    }
    return allowed(schema, value) ?? `a ${String(type)}`
  })
  return kinds.length > 1 ? `one of ${kinds.join(', ')}` : kinds[0]
}

/** Returns a value for an error message, without secrets. */
function shown(name: string, value: unknown): string {
  if (name.startsWith('api') || name.split('.').some(isCredentialName)) return kindOfSecret(value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return 'a function'
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value))
}

function kindOfSecret(value: unknown): string {
  if (value === '') return 'an empty string'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : `an array of ${value.length}`
  return typeof value === 'string' ? `a string of ${value.length}` : 'what was given'
}

/** Returns what a wrong argument is, in words. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  if (Number.isNaN(value)) return 'NaN'
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

const MAX_LISTED = 40

/** Returns `: did you mean "maxLength"?`, or the list of known names if none is similar. */
export function didYouMean(word: string, known: readonly string[]): string {
  const near = similarName(word, known)
  if (near !== undefined) return `: did you mean "${near}"?`
  if (known.length > MAX_LISTED) return ''
  return known.length === 1 ? `: use ${known.join()}` : `: use one of ${known.join(', ')}`
}

/** Returns the known name that is most similar to the word; undefined if none is similar. */
export function similarName(word: string, known: readonly string[]): string | undefined {
  const plain = simplify(word)
  return known
    .map((name) => ({ name, distance: editDistance(plain, simplify(name)) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 4)))
    .sort((a, b) => a.distance - b.distance)[0]?.name
}

/** Returns the name without case, `_` and `-`: `max_length`, `MaxLength` and `maxLength` are equal. */
const simplify = (word: string) => word.slice(0, 64).replaceAll(/[_-]/g, '').toLowerCase()

/** Returns the number of letters to replace, add, drop, or swap with their neighbour, to turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  const at = (row: number, column: number) => (rows[row] as number[])[column] as number
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    rows.push(current)
    for (let column = 1; column <= b.length; column++) {
      const replaced = at(row - 1, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1)
      const swapped =
        a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1] ? at(row - 2, column - 2) + 1 : Infinity
      current.push(Math.min(replaced, swapped, at(row - 1, column) + 1, at(row, column - 1) + 1))
    }
  }
  return at(a.length, b.length)
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
  // A schema of an object without properties stands for a class, such as a store, so its value is returned
  // unchanged.
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
