import type { ErrorObject, ValidateFunction } from 'ajv'
import { didYouMean } from '../model/checkOptions.js'
import { isCredentialName, jsonWithoutCredentials } from '../model/credentials.js'
import { ERR_VERB_INVALID } from '../model/errors.js'
import * as compiled from './compiledVerbs.js'
import { loadJambonzSchemas, type JsonSchema } from './jambonzSchemas.js'

// The checks of verbs. Each throws FST_JAMBONZ_VERB_INVALID. `at`: the place of the verb, as in `[1] dial.listen`.

/** Checks a verb's data, without `verb`, against jambonz' schema of it. */
export function checkVerb(name: string, data: unknown, at: string): void {
  const validate = Object.hasOwn(compiled.verbs, name) ? compiled.verbs[name] : undefined
  if (validate === undefined) {
    const hint = didYouMean(name, Object.keys(compiled.verbs))
    throw new ERR_VERB_INVALID(`${at}: jambonz knows no such verb${hint}`)
  }
  check(validate, data, at)
}

/** Checks what a handler gives of a listen or stream verb. */
export function checkListenOptions(data: unknown, at: string): void {
  check(compiled.listen, data, at)
}

/** Checks `config.listen`. */
export function checkConfigListen(data: unknown, at: string): void {
  check(compiled.configListen, data, at)
}

function check(validate: ValidateFunction, data: unknown, at: string): void {
  if (!validate(data)) {
    throw new ERR_VERB_INVALID(explain(validate.errors as unknown as Errors, at, knownProperties))
  }
}

let schemasById: Map<string, JsonSchema> | undefined

function knownProperties({ properties = {}, allOf = [], $ref }: JsonSchema): string[] {
  const referred = $ref === undefined ? undefined : schemaOf($ref)
  const parts = referred ? [...allOf, referred] : allOf
  return [...Object.keys(properties), ...parts.flatMap(knownProperties)]
}

/** Returns the schema that has the id. They are read at the first mistake in a verb. */
function schemaOf(id: string): JsonSchema | undefined {
  if (schemasById === undefined) {
    const { verbs, components } = loadJambonzSchemas()
    schemasById = new Map([...components, ...verbs.values()].map((schema) => [schema.$id, schema]))
  }
  return schemasById.get(id)
}

/** The errors of ajv, at least one. */
export type Errors = readonly [ErrorObject, ...ErrorObject[]]

/** Returns the names of a schema's properties. */
export type KnownProperties = (schema: object) => string[]

const UNKNOWN_PROPERTY = new Set(['additionalProperties', 'unevaluatedProperties'])
/** Keywords whose error only reports that one of their branches failed. */
const COMBINERS = new Set(['anyOf', 'if'])

/**
 * Returns one sentence for ajv's errors: the place, the value, and what is allowed. Of an `anyOf` it explains the
 * branch that matched furthest: in `actionHook: { method: 'PUT' }` the method is wrong, not that it is no string. Needs
 * ajv's option `verbose`.
 */
export function explain(errors: Errors, at: string, knownProperties: KnownProperties): string {
  const causes = errors.filter((error) => !COMBINERS.has(error.keyword))
  const error = causes.reduce(
    (furthest, next) => (depth(next) > depth(furthest) ? next : furthest),
    errors[0]
  )
  const place = `${at}${dotted(error.instancePath)}`
  if (error.keyword === 'required') return `${place}.${error.params.missingProperty} is missing`
  if (UNKNOWN_PROPERTY.has(error.keyword)) {
    const property = String(Object.values(error.params)[0])
    const hint = didYouMean(property, knownProperties({ ...error.parentSchema }))
    return `${place}.${property}: jambonz knows no such property, and refuses the whole application over it${hint}`
  }
  const rules = causes.filter((other) => other.instancePath === error.instancePath)
  return `${place} is ${shown(error.instancePath, error.data)}: ${expectation(error, rules)}`
}

/** Returns the depth of an error. That of a missing or unknown property is one level below its object. */
function depth({ keyword, instancePath }: ErrorObject): number {
  const inside = keyword === 'required' || UNKNOWN_PROPERTY.has(keyword) ? 1 : 0
  return instancePath.split('/').length + inside
}

/** Returns `/target/0/type` as `.target[0].type`. */
function dotted(pointer: string): string {
  return pointer
    .replaceAll(/\/(\d+)(?=\/|$)/g, '[$1]')
    .replaceAll('/', '.')
    .replaceAll('~1', '/')
    .replaceAll('~0', '~')
}

function expectation(error: ErrorObject, rules: readonly ErrorObject[]): string {
  const values = rules.flatMap(({ keyword, params }) =>
    keyword === 'enum' ? params.allowedValues : keyword === 'const' ? [params.allowedValue] : []
  )
  if (values.length > 0) {
    return `use ${values.length > 1 ? 'one of ' : ''}${values.map((value) => JSON.stringify(value)).join(', ')}`
  }
  const types = new Set(rules.filter(({ keyword }) => keyword === 'type').map(({ params }) => params.type))
  if (types.size > 0) return `must be ${[...types].join(' or ')}`
  const { description } = error.parentSchema as { description?: string }
  return `${error.message}${description === undefined ? '' : ` (${description})`}`
}

/** characters of a value that an error shows */
export const MAX_SHOWN = 80

/** Returns a JSON value for an error message: short, and without credentials. `path`: its place, with slashes. */
export function shown(path: string, value: unknown): string {
  if (path.split('/').some((name) => isCredentialName(name))) return 'a hidden value'
  const safe = jsonWithoutCredentials(value) ?? 'undefined'
  return safe.length > MAX_SHOWN ? `${safe.slice(0, MAX_SHOWN)}…` : safe
}
