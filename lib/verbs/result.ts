import { ERR_VERB_INVALID } from '../model/errors.js'
import { isObject, jsonCopy, type Data } from '../model/json.js'
import type { JambonzVerbs } from './jambonzVerbs.js'
import type { ConfigListen, ListenOptions } from './listenSchema.js'
import { shown } from './validate.js'

/** The properties of each verb, by its name: `VerbProperties['say']`. */
export interface VerbProperties extends Omit<JambonzVerbs, 'config' | 'dial' | 'conference' | 'room'> {
  listen: ListenOptions
  stream: ListenOptions
  config: Omit<JambonzVerbs['config'], 'listen' | 'stream'> & { listen?: ConfigListen; stream?: ConfigListen }
  conference: Omit<JambonzVerbs['conference'], 'listen' | 'stream'> & NestedListen
  room: Omit<JambonzVerbs['room'], 'listen' | 'stream'> & NestedListen
  dial: Omit<JambonzVerbs['dial'], 'listen' | 'stream'> & NestedListen
}

interface NestedListen {
  listen?: ListenOptions
  stream?: ListenOptions
}

type VerbName = keyof VerbProperties

/** `{ verb: 'say', text: 'Hello' }` */
type LongVerb = { [Name in VerbName]: { verb: Name } & VerbProperties[Name] }[VerbName]

/** `{ say: { text: 'Hello' } }` */
type ShortVerb = { [Name in VerbName]: { verb?: never } & { [Key in Name]: VerbProperties[Name] } }[VerbName]

/** One jambonz verb, in either spelling. */
export type Verb = LongVerb | ShortVerb

/**
 * The result of a handler: verbs, one verb, an object whose JSON is verbs (`WebhookResponse` of `@jambonz/sdk`), or
 * nothing.
 */
export type HandlerResult = Verb | readonly Verb[] | { toJSON(): unknown } | undefined | null

/** A HandlerResult, but not one verb alone: with it in the union, editors complete nothing inside an array of verbs. */
export type VerbsResult = readonly Verb[] | { toJSON(): unknown } | undefined | null

/**
 * `unknown`, or a string that names a property that jambonz does not know, which makes `handler: Handler &
 * NoUnknownProperties<Result>` an error. TypeScript checks object literals for surplus properties, but not those that a
 * function returns, and jambonz refuses the whole application over one.
 */
export type NoUnknownProperties<Result> =
  Surplus<Element<Result>> extends infer Found ? ([Found] extends [never] ? unknown : Found) : never

type Element<Result> = Result extends ReadonlyArray<infer One> ? One : Result

type Surplus<Given> = Given extends { verb: infer Name extends VerbName }
  ? SurplusOf<Omit<Given, 'verb'>, VerbProperties[Name], Name>
  : Given extends { toJSON(): unknown }
    ? never
    : { [Name in keyof Given & VerbName]: SurplusOf<Given[Name], VerbProperties[Name], Name> }[keyof Given &
        VerbName]

type SurplusOf<Given, Known, Place extends string> = string extends keyof Known
  ? never
  : {
      [Key in keyof Given & string]: Given[Key] extends undefined
        ? never
        : Key extends keyof Known
          ? Key extends 'listen' | 'stream'
            ? SurplusOf<Given[Key], NonNullable<Known[Key]>, `${Place}.${Key}`>
            : never
          : `${Place} has no property ${Key}`
    }[keyof Given & string]

/** Returns the property of a verb that holds its nested listen: the two names mean the same to jambonz. */
export function listenKeyOf({ stream }: Data): 'listen' | 'stream' {
  return stream === undefined ? 'listen' : 'stream'
}

/** One verb of a handler's result. `at`: its place in the array, as in `[1]`. */
export interface NamedVerb {
  name: string
  data: Data
  at: string
}

/**
 * Reads a handler's result: an array of verbs, one verb, a WebhookResponse, or nothing; each verb as `{ verb: 'say', …
 * }` or `{ say: {…} }`. It reads their JSON, so the verbs are copies. Throws FST_JAMBONZ_VERB_INVALID.
 */
export function readResult(result: unknown): NamedVerb[] {
  if (result === undefined || result === null) return []
  const json = toJson(result)
  if (Array.isArray(json)) return json.map((verb, index) => readVerb(verb, `[${index}]`))
  if (isObject(json)) return [readVerb(json, '[0]')]
  const what = json === undefined ? `a ${typeof result}` : shown('', json)
  throw new ERR_VERB_INVALID(
    `the handler returned ${what}: return an array of verbs, one verb, a WebhookResponse, or nothing`
  )
}

function toJson(result: unknown): unknown {
  try {
    return jsonCopy(result)
  } catch (error) {
    throw new ERR_VERB_INVALID(`what the handler returned can't be JSON: ${(error as Error).message}`)
  }
}

function readVerb(value: unknown, at: string): NamedVerb {
  if (!isObject(value)) {
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
  if (!isObject(inner)) {
    throw new ERR_VERB_INVALID(
      `${at} ${name} is ${shown(name, inner)}: must be an object with the properties of ${name}`
    )
  }
  return { name, data: inner, at }
}
