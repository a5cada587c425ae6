import type { Listen } from '../model/schema.js'
import { ERR_VERB_INVALID } from '../model/errors.js'
import { type ExpectedListen, type PreparedVerbs, type VerbContext, prepareListen } from './listen.js'
import {
  ConfigListenSchema,
  ListenOptionsSchema,
  type ConfigListen,
  type ListenOptions
} from './listenSchema.js'
import { isObject, isThenable, jsonCopy, type Data } from '../model/json.js'
import type { HandlerResult } from './index.js'
import { checkConfigListen, checkListenOptions, checkVerb, isVerbName, shown } from './validate.js'
import { newCall } from '../model/callWrite.js'

/**
 * The properties that jambonz accepts in a listen verb, but refuses in `config` (`@jambonz/verb-specifications`,
 * listenOptions).
 */
const FOREGROUND_ONLY = Object.keys(ListenOptionsSchema.properties).filter(
  (property) => !(property in ConfigListenSchema.properties)
)

/**
 * Checks every verb of a handler's result, completes every listen, and returns the verbs for jambonz. Does
 * not change the handler's objects. Throws FST_JAMBONZ_VERB_INVALID (with verb, property and value),
 * FST_JAMBONZ_CREDENTIALS or FST_JAMBONZ_AUDIO_ROUTE.
 */
export function prepareVerbs(result: HandlerResult, context: VerbContext): PreparedVerbs {
  const answer = new Answer(context)
  const verbs = readResult(result).map((verb) => answer.add(verb))
  return { verbs, listens: answer.listens }
}

class Answer {
  readonly listens: ExpectedListen[] = []
  readonly #context: VerbContext
  #ordinal = 0

  constructor(context: VerbContext) {
    this.#context = context
  }

  add({ name, data, at }: NamedVerb): object {
    const place = `${at} ${name}`
    if (name === 'listen' || name === 'stream') return { verb: name, ...this.#listen(data, place) }
    this.#check(() => checkVerb(name, data, place))
    if (name === 'dial') return { verb: name, ...this.#nesting(data, place, 'dial') }
    if (name === 'conference' || name === 'room') {
      return { verb: name, ...this.#conference(data, place, name) }
    }
    if (name === 'config') return { verb: name, ...this.#config(data, place) }
    if (name === 'redirect') return { verb: name, ...this.#redirect(data, place) }
    return { verb: name, ...data }
  }

  /**
   * Returns a redirect whose hooks are urls. jambonz 0.9.4 to 0.9.8 ends the call if the actionHook is an object, and
   * ignores an object as statusHook (feature-server lib/tasks/redirect.js). It ignores credentials of a hook, too.
   */
  #redirect(data: Data, at: string): Data {
    if (this.#context.platform !== '0.9') return data
    const { actionHook } = data
    if (isObject(actionHook) && String(actionHook.method).toUpperCase() === 'GET') {
      throw new ERR_VERB_INVALID(
        `${at}.actionHook.method is GET: jambonz 0.9 ends the call over a redirect with such a hook. Write the url as a string; jambonz requests it with POST`
      )
    }
    return { ...data, ...urlOf(data, 'actionHook'), ...urlOf(data, 'statusHook') }
  }

  /** Runs a check against jambonz' schemas. Passes its error to `warn`, if the application has chosen warnings. */
  #check(check: () => void): void {
    const { warn } = this.#context
    if (warn === undefined) return check()
    try {
      check()
    } catch (err) {
      warn((err as Error).message)
    }
  }

  /** Returns a verb with its nested listen or stream completed. */
  #nesting(data: Data, at: string, nested: Listen['nested']): Data {
    if (data.listen !== undefined && data.stream !== undefined) {
      throw new ERR_VERB_INVALID(
        `${at} has both listen and stream, and jambonz does only one of them: leave one out`
      )
    }
    const key = listenKeyOf(data)
    const inner = data[key]
    return isObject(inner)
      ? { ...data, [key]: this.#listen(withoutVerb(inner), `${at}.${key}`, nested) }
      : data
  }

  #conference(data: Data, at: string, name: 'conference' | 'room'): Data {
    const ignored = ['listen', 'stream'].find((key) => data[key] !== undefined)
    if (ignored !== undefined && this.#context.platform === '0.9') {
      throw new ERR_VERB_INVALID(
        `${at}.${ignored}: jambonz 0.9 never starts it. Put the listen into dial or config, or set the option platform: '11' if that is your jambonz`
      )
    }
    return this.#nesting(data, at, name)
  }

  #config(data: Data, at: string): Data {
    if (data.stream !== undefined && this.#context.platform === '0.9') {
      throw new ERR_VERB_INVALID(`${at}.stream: jambonz ignores it: say listen instead`)
    }
    const key = listenKeyOf(data)
    const inner = data[key]
    if (!isObject(inner)) return data
    const listen = withoutVerb(inner)
    const misplaced = FOREGROUND_ONLY.find((property) => property in listen)
    if (misplaced !== undefined) {
      throw new ERR_VERB_INVALID(
        `${at}.${key}.${misplaced}: jambonz refuses this property in config, and with it all verbs of the answer. Leave it out, or use a listen verb`
      )
    }
    this.#check(() => checkConfigListen(listen, `${at}.${key}`))
    const options = listen as ConfigListen
    if (options.enable === false) return { ...data, [key]: listen }
    return { ...data, [key]: { ...this.#fill(options, `${at}.${key}`, 'config'), enable: true } }
  }

  #listen(data: Data, at: string, nested?: Listen['nested']): object {
    const options = asJambonzReads(data) as ListenOptions
    this.#check(() => checkListenOptions(options, at))
    if (options.transcribe !== undefined) {
      this.#check(() => checkVerb('transcribe', options.transcribe, `${at}.transcribe`))
    }
    return this.#fill(options, at, nested)
  }

  #fill(data: ListenOptions & ConfigListen, at: string, nested: Listen['nested']): object {
    const prepared = prepareListen({ data, at, nested, ordinal: this.#ordinal++ }, this.#context)
    if (prepared.listen !== undefined) this.listens.push(prepared.listen)
    return prepared.data
  }
}

/**
 * Rewrites options that jambonz accepts but its schemas refuse: a method in lower case, null for an absent
 * property.
 */
function asJambonzReads(data: Data): Data {
  const isHook = typeof data.actionHook === 'string' || data.actionHook === undefined
  if (isHook && data.metadata !== null) return data
  const { actionHook, metadata, ...rest } = data
  const hook =
    isObject(actionHook) && typeof actionHook.method === 'string'
      ? { ...actionHook, method: actionHook.method.toUpperCase() }
      : actionHook
  return {
    ...(hook !== undefined && hook !== null && { actionHook: hook }),
    ...(metadata !== undefined && metadata !== null && { metadata }),
    ...rest
  }
}

/** Returns the property with a hook's url in place of the hook's object, or nothing if the hook is no object. */
function urlOf(data: Data, property: 'actionHook' | 'statusHook'): Data {
  const hook = data[property]
  return isObject(hook) && typeof hook.url === 'string' ? { [property]: hook.url } : {}
}

/** Removes `verb` from a nested listen, where it is often written, and where jambonz refuses it. */
function withoutVerb(nested: Data): Data {
  const { verb, ...options } = nested
  return verb === 'listen' || verb === 'stream' ? options : nested
}

/** A context without audio routes, since the routes of the application are not registered yet. */
const nowhere: VerbContext = {
  call: newCall(''),
  listenId: String,
  audioUrl: () => undefined,
  hookUrl: (url = '') => ({ url, isOurs: true }),
  platform: '11',
  defaultActionHook: false
}

/** Checks verbs before there is a call. Throws what `prepareVerbs` throws, except for audio routes. */
export function checkVerbs(verbs: HandlerResult): void {
  prepareVerbs(verbs, nowhere)
}

/** Returns the property of a verb that holds its nested listen. Both names mean the same to jambonz. */
export function listenKeyOf({ stream }: Data): 'listen' | 'stream' {
  return stream === undefined ? 'listen' : 'stream'
}

/** One verb of a handler's result. `at`: its place in the array, as in `[1]`. */
interface NamedVerb {
  name: string
  data: Data
  at: string
}

/**
 * Reads a handler's result: an array of verbs, one verb, a WebhookResponse, or nothing; each verb as `{ verb: 'say', …
 * }` or `{ say: {…} }`. It reads their JSON, so the verbs are copies. Throws FST_JAMBONZ_VERB_INVALID.
 */
function readResult(result: unknown): NamedVerb[] {
  if (result === undefined || result === null) return []
  const json = jsonOfVerbs(result, 'what the handler returned')
  if (Array.isArray(json)) return json.map((verb, index) => readVerb(verb, `[${index}]`))
  if (isObject(json)) return [readVerb(json, '[0]')]
  const what = json === undefined ? `a ${typeof result}` : shown('', json)
  throw new ERR_VERB_INVALID(
    `the handler returned ${what}: return an array of verbs, one verb, a WebhookResponse, or nothing`
  )
}

/** Returns a copy of verbs as JSON. `what`: the verbs, for the text of the error. Throws FST_JAMBONZ_VERB_INVALID. */
export function jsonOfVerbs(verbs: unknown, what: string): unknown {
  const list: readonly unknown[] = Array.isArray(verbs) ? verbs : [verbs]
  const promise = list.findIndex(isThenable)
  if (promise >= 0) {
    const place = Array.isArray(verbs) ? `[${promise}] of ${what}` : what
    throw new ERR_VERB_INVALID(`${place} is a promise: await the function that returns the verbs`)
  }
  try {
    return jsonCopy(verbs)
  } catch (error) {
    throw new ERR_VERB_INVALID(`${what} can't be JSON: ${(error as Error).message}`)
  }
}

function readVerb(value: unknown, at: string): NamedVerb {
  if (!isObject(value)) {
    const advice = Array.isArray(value)
      ? "it is an array inside the array of verbs: spread it, as in [...verbs, { verb: 'hangup' }]"
      : "a verb is an object, as in { verb: 'say', text: 'Hello' }"
    throw new ERR_VERB_INVALID(`${at} is ${shown('', value)}: ${advice}`)
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
  if (!isVerbName(name) && !isObject(inner)) {
    throw new ERR_VERB_INVALID(`${at} is ${shown('', value)}: ${adviceFor(name, inner)}`)
  }
  if (!isObject(inner)) {
    throw new ERR_VERB_INVALID(
      `${at} ${name} is ${shown(name, inner)}: must be an object with the properties of ${name}`
    )
  }
  return { name, data: inner, at }
}

/** Returns what to do about an object whose only property is not a verb. */
function adviceFor(name: string, inner: unknown): string {
  if (Array.isArray(inner)) return `return the array of verbs itself, not an object with the property ${name}`
  return `it has no verb: name the verb, as { verb: 'say', … } or { say: {…} }`
}
