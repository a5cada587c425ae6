import { Ajv2020, type ValidateFunction, type ErrorObject } from 'ajv/dist/2020.js'
import { didYouMean } from '../model/checkOptions.js'
import { isCredentialName, jsonWithoutCredentials } from '../model/credentials.js'
import { ERR_VERB_INVALID } from '../model/errors.js'
import { loadJambonzSchemas, verbSchemaId, type JsonSchema } from './jambonzSchemas.js'
import { ConfigListenSchema, ListenOptionsSchema } from './listenSchema.js'

/** The checks of verbs. Each throws FST_JAMBONZ_VERB_INVALID. `at`: the place of the verb, as in `[1] dial.listen`. */
export interface VerbValidators {
  /** Checks a verb's data, without `verb`, against jambonz' schema of it. */
  verb(name: string, data: unknown, at: string): void
  listen(data: unknown, at: string): void
  configListen(data: unknown, at: string): void
}

let validators: VerbValidators | undefined

/** Returns the validators, which are compiled once per process: a call must not wait for it. */
export function verbValidators(): VerbValidators {
  validators ??= compile()
  return validators
}

function compile(): VerbValidators {
  const ajv = new Ajv2020({
    strict: false,
    validateFormats: false,
    validateSchema: false,
    verbose: true,
    logger: false,
    // This halves the time to compile, and validation is as fast.
    inlineRefs: false,
    code: { optimize: false }
  })
  const { verbs, components } = loadJambonzSchemas()
  for (const schema of [...components, ...verbs.values()]) ajv.addSchema(schema)
  const byName = new Map([...verbs.keys()].map((name) => [name, ajv.getSchema(verbSchemaId(name))]))
  const listen = ajv.compile(ListenOptionsSchema)
  const configListen = ajv.compile(ConfigListenSchema)

  function run(validate: ValidateFunction, data: unknown, at: string): void {
    if (!validate(data)) {
      throw new ERR_VERB_INVALID(explain(validate.errors as unknown as Errors, at, knownProperties))
    }
  }

  function knownProperties({ properties = {}, allOf = [], $ref }: JsonSchema): string[] {
    const referred = $ref !== undefined && ajv.getSchema($ref)?.schema
    const parts = typeof referred === 'object' ? [...allOf, referred] : allOf
    return [...Object.keys(properties), ...parts.flatMap(knownProperties)]
  }

  return {
    verb(name, data, at) {
      const validate = byName.get(name)
      if (validate === undefined) {
        throw new ERR_VERB_INVALID(`${at}: jambonz knows no such verb${didYouMean(name, [...byName.keys()])}`)
      }
      run(validate, data, at)
    },
    listen: (data, at) => run(listen, data, at),
    configListen: (data, at) => run(configListen, data, at)
  }
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
