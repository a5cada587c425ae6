import type { ErrorObject } from 'ajv/dist/2020.js'
import { shown } from './shown.js'
import { didYouMean } from './suggest.js'

type ResolveSchema = (id: string) => unknown

const COMBINERS = new Set(['anyOf', 'oneOf', 'allOf', 'if', 'not', '$ref'])
const UNKNOWN_PROPERTY = new Set(['additionalProperties', 'unevaluatedProperties'])

/**
 * One sentence of ajv's errors: where, what stands there, and what is allowed.
 * Of the branches of an `anyOf` the one that got furthest is meant: `actionHook: { method: 'PUT' }` is wrong in its
 * method, not in being no string. Needs `verbose: true`.
 */
export function explain (errors: readonly ErrorObject[], at: string, resolve: ResolveSchema): string {
  const own = errors.filter(error => !COMBINERS.has(error.keyword))
  const deepest = Math.max(...own.map(depth))
  const furthest = own.filter(error => depth(error) === deepest)
  const error = furthest[0] ?? errors[0]
  if (error === undefined) return `${at} is invalid`
  const place = `${at}${dotted(error.instancePath)}`
  const { missingProperty } = error.params
  if (missingProperty !== undefined) return `${place}.${missingProperty} is missing`
  if (UNKNOWN_PROPERTY.has(error.keyword)) {
    const property = String(error.params.additionalProperty ?? error.params.unevaluatedProperty)
    const known = [...knownProperties(error.parentSchema, resolve)]
    return `${place}.${property}: jambonz knows no such property, and refuses the whole application over it${didYouMean(property, known)}`
  }
  const name = error.instancePath.slice(error.instancePath.lastIndexOf('/') + 1)
  const rules = furthest.filter(other => other.instancePath === error.instancePath)
  return `${place} is ${shown(name, error.data, error.instancePath)}: ${expectation(rules)}`
}

/** Missing and unknown properties are errors of the object, yet stand one level deeper. */
function depth (error: ErrorObject): number {
  const inside = UNKNOWN_PROPERTY.has(error.keyword) || error.keyword === 'required' ? 1 : 0
  return error.instancePath.split('/').length + inside
}

function dotted (pointer: string): string {
  return pointer.split('/').slice(1).map(part => /^\d+$/.test(part) ? `[${part}]` : `.${part.replaceAll('~1', '/').replaceAll('~0', '~')}`).join('')
}

function expectation (errors: readonly ErrorObject[]): string {
  const values = errors.flatMap(({ keyword, params }) => keyword === 'enum' ? params.allowedValues : keyword === 'const' ? [params.allowedValue] : [])
  if (values.length > 0) return `use ${values.length > 1 ? 'one of ' : ''}${[...new Set(values)].map(value => JSON.stringify(value)).join(', ')}`
  const types = errors.flatMap(({ keyword, params }) => keyword === 'type' ? [params.type] : [])
  if (types.length > 0) return `must be ${[...new Set(types.flat())].join(' or ')}`
  const [error] = errors
  const description: unknown = error?.parentSchema?.description
  return `${error?.message ?? 'is not allowed'}${typeof description === 'string' ? ` (${description})` : ''}`
}

function knownProperties (schema: unknown, resolve: ResolveSchema): Set<string> {
  const known = new Set<string>()
  const collect = (part: unknown, depth: number): void => {
    if (typeof part !== 'object' || part === null || depth > 4) return
    const { properties, allOf, $ref } = part as { properties?: object, allOf?: unknown[], $ref?: string }
    for (const name of Object.keys(properties ?? {})) known.add(name)
    for (const branch of allOf ?? []) collect(branch, depth + 1)
    if ($ref !== undefined) collect(resolve(absolute($ref)), depth + 1)
  }
  collect(schema, 0)
  return known
}

/** `@jambonz/schema` refers as `../components/llm-base`, `conference`, or by the whole id. */
function absolute (ref: string): string {
  return new URL(ref, 'https://jambonz.org/schema/verbs/').href
}
