import { Type, type TNumber, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ERR_OPTIONS } from './errors.js'

/** ms: a timer of Node.js holds no more, and fires at once instead */
export const MAX_TIMER_MS = 2_147_483_647

/** Schema of an option that is a time in ms, above 0 unless `minimum` says otherwise. */
export function Milliseconds(description: string, minimum?: number): TNumber {
  const lowest = minimum === undefined ? { exclusiveMinimum: 0 } : { minimum }
  return Type.Number({ ...lowest, maximum: MAX_TIMER_MS, description })
}

/**
 * Throws FST_JAMBONZ_OPTIONS where options are not as their schema says: names the option, what was given, what is
 * allowed. `prefix`: the name of the option that holds them, or nothing.
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

/** What a union takes: TypeBox says only that it is one. */
function allowed({ anyOf }: TSchema): string | undefined {
  if (!Array.isArray(anyOf)) return undefined
  const kinds = (anyOf as TSchema[]).map(({ const: literal, type }) =>
    literal !== undefined ? String(literal) : type === 'array' ? 'an array' : `a ${String(type)}`
  )
  return kinds.length > 1 ? `one of ${kinds.join(', ')}` : kinds[0]
}

/** Secrets never reach a log. */
function shown(name: string, value: unknown): string {
  return /secret|password|auth|api|token/i.test(name)
    ? 'what was given'
    : (JSON.stringify(value) ?? String(value))
}
