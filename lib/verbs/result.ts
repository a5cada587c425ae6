import { ERR_VERB_INVALID } from '../model/errors.js'
import { shown } from './explain.js'

export type Data = Record<string, unknown>

/** One verb of a handler's result, in neither spelling. `at` is its place in the array, as in `[1]`. */
export interface NamedVerb {
  name: string
  data: Data
  at: string
}

/**
 * Reads what a handler returned: an array of verbs, one verb, a WebhookResponse, or nothing; each verb as
 * `{ verb: 'say', … }` or `{ say: {…} }`. It is taken as the JSON it becomes, so the result is a copy.
 * Throws FST_JAMBONZ_VERB_INVALID.
 */
export function readResult(result: unknown): NamedVerb[] {
  if (result === undefined || result === null) return []
  const json = toJson(result)
  if (Array.isArray(json)) return json.map((verb, index) => readVerb(verb, `[${index}]`))
  if (isData(json)) return [readVerb(json, '[0]')]
  const what = json === undefined ? `a ${typeof result}` : shown('', json)
  throw new ERR_VERB_INVALID(
    `the handler returned ${what}: return an array of verbs, one verb, a WebhookResponse, or nothing`
  )
}

function toJson(result: unknown): unknown {
  try {
    const text = JSON.stringify(result)
    return text === undefined ? undefined : JSON.parse(text)
  } catch (error) {
    throw new ERR_VERB_INVALID(`what the handler returned can't be JSON: ${(error as Error).message}`)
  }
}

function readVerb(value: unknown, at: string): NamedVerb {
  if (!isData(value)) {
    throw new ERR_VERB_INVALID(
      `${at} is ${shown('', value)}: a verb is an object, as in { verb: 'say', text: 'Hello' }`
    )
  }
  const { verb, ...data } = value
  if (typeof verb === 'string') return { name: verb, data, at }
  if (verb !== undefined) {
    throw new ERR_VERB_INVALID(`${at}.verb is ${shown('', verb)}: must be the name of a verb`)
  }
  const [name, ...more] = Object.keys(data)
  if (name === undefined || more.length > 0) {
    throw new ERR_VERB_INVALID(
      `${at} is ${shown('', value)}: name the verb, as { verb: 'say', … } or { say: {…} }`
    )
  }
  const inner = data[name]
  if (!isData(inner)) {
    throw new ERR_VERB_INVALID(
      `${at} ${name} is ${shown(name, inner)}: must be an object with the properties of ${name}`
    )
  }
  return { name, data: inner, at }
}

export function isData(value: unknown): value is Data {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
