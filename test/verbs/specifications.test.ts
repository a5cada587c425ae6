import { createRequire } from 'node:module'
import t from 'tap'
import { prepareVerbs, type HandlerResult } from '../../lib/verbs/index.js'
import { loadJambonzSchemas } from '../../lib/verbs/jambonzSchemas.js'
import { verbContext } from '../helpers/verbContext.js'

// The plugin must accept every property that the validator of jambonz' feature server accepts. The
// validator's specifications name the properties of each verb. Each property, at any depth, is tested alone,
// together with the required properties.

type Type = string | readonly Type[] | { type: string; enum?: readonly string[] }
interface Specification {
  properties?: Record<string, Type>
  required?: readonly string[]
}

const { specs: published, validate } = createRequire(import.meta.url)('@jambonz/verb-specifications') as {
  specs: Record<string, Specification>
  validate: (logger: object, verbs: object[]) => void
}

const specs = new Map(Object.entries(published))

const MAX_DEPTH = 4
const HOOK = /hook$/i
/** Valid values for properties whose type does not say which values are valid. */
const SENSIBLE: Record<string, unknown> = {
  url: 'https://example.com/a',
  sampleRate: 16_000,
  channel: 1,
  mode: 1,
  threshold: 0.5,
  finishOnKey: '#',
  input: ['digits'],
  actions: [{ verb: 'pause', length: 1 }],
  giveUpActions: [{ verb: 'hangup' }],
  headers: { 'X-A': 'a', 'X-B': 5 }
}
/** Paths of the properties that the plugin refuses, for reasons that docs/jambonz.md gives. */
const REFUSED_ON_PURPOSE = [
  /^conference\.listen/,
  /^config\.stream/,
  /^listen\.url/,
  /listen\.url|stream\.url/
]

/** Returns a value of the type. An object gets only its required properties. */
function example(name: string, type: Type, owner: string): unknown {
  if (typeof type === 'object' && 'type' in type) return type.enum?.[0] ?? example(name, type.type, owner)
  if (typeof type !== 'string') return [example(name, type[0] ?? 'string', owner)]
  if (HOOK.test(name)) return '/hook'
  if (name in SENSIBLE && !(name === 'mode' && owner !== 'vad')) return SENSIBLE[name]
  const [first = ''] = type.split('|').map((each) => each.trim())
  if (first.startsWith('#')) return required(first.slice(1))
  return { number: 1, boolean: true, object: { any: 'thing' }, array: ['text'] }[first] ?? 'text'
}

function required(name: string): Record<string, unknown> {
  const { properties = {}, required: names = [] } = specs.get(name) ?? {}
  return Object.fromEntries(names.map((one) => [one, example(one, properties[one] ?? 'string', name)]))
}

/**
 * Yields the variants of a specification with their paths. Each variant is an object that has the required
 * properties and one more.
 */
function* variants(name: string, path: string, depth: number): Generator<[path: string, value: object]> {
  const base = required(name)
  yield [path, base]
  for (const [property, type] of Object.entries(specs.get(name)?.properties ?? {})) {
    const at = `${path}.${property}`
    yield [at, { ...base, [property]: example(property, type, name) }]
    const single = Array.isArray(type) ? String(type[0]) : String(type)
    if (!single.startsWith('#') || depth >= MAX_DEPTH) continue
    for (const [inner, value] of variants(single.slice(1), at, depth + 1)) {
      yield [inner, { ...base, [property]: Array.isArray(type) ? [value] : value }]
    }
  }
}

function throws(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (err) {
    return (err as Error).message
  }
}

t.test("every property in jambonz' specifications is accepted", async (t) => {
  let accepted = 0
  for (const verb of specs.keys()) {
    if (!loadJambonzSchemas().verbs.has(verb)) continue
    for (const [path, value] of variants(verb, verb, 0)) {
      const verbs = [{ verb, ...structuredClone(value) }]
      if (throws(() => validate({ info() {} }, structuredClone(verbs))) !== undefined) continue
      if (REFUSED_ON_PURPOSE.some((one) => one.test(path))) continue
      accepted++
      const refusal = throws(() => prepareVerbs(verbs as HandlerResult, verbContext()))
      if (refusal !== undefined) t.fail(`${path}: ${refusal.slice(0, 200)}`)
    }
  }
  t.ok(accepted > 1_000, `${accepted} properties`)
})
