import type { Listen } from '../model/schema.js'
import { ERR_VERB_INVALID } from '../model/errors.js'
import type { ExpectedListen, PreparedVerbs, VerbContext } from './context.js'
import {
  ConfigListenSchema,
  ListenOptionsSchema,
  type ConfigListen,
  type ListenOptions
} from './listenSchema.js'
import { prepareListen } from './listen.js'
import { readResult, type Data, type NamedVerb } from './result.js'
import type { HandlerResult } from './types.js'
import { verbValidators, type VerbValidators } from './validate.js'

/** What jambonz takes in a listen verb and refuses in `config` (`@jambonz/verb-specifications`, listenOptions). */
const FOREGROUND_ONLY = Object.keys(ListenOptionsSchema.properties).filter(
  (property) => !(property in ConfigListenSchema.properties)
)

/**
 * Makes what a handler returned into what jambonz gets: every verb checked, every listen filled in, the handler's own
 * objects untouched. Synchronous.
 * Throws FST_JAMBONZ_VERB_INVALID, naming verb, property and value; FST_JAMBONZ_CREDENTIALS; FST_JAMBONZ_AUDIO_ROUTE.
 */
export function prepareVerbs(result: HandlerResult, context: VerbContext): PreparedVerbs {
  const answer = new Answer(context)
  const verbs = readResult(result).map((verb) => answer.add(verb))
  return { verbs, listens: answer.listens }
}

/** Compiles the schemas of all verbs: for registration, so that no call waits for it. */
export function warmUp(): void {
  verbValidators()
}

class Answer {
  readonly listens: ExpectedListen[] = []
  readonly #context: VerbContext
  readonly #validators: VerbValidators = verbValidators()
  #ordinal = 0

  constructor(context: VerbContext) {
    this.#context = context
  }

  add({ name, data, at }: NamedVerb): object {
    const place = `${at} ${name}`
    if (name === 'listen' || name === 'stream') return { verb: name, ...this.#listen(data, place) }
    this.#validators.verb(name, data, place)
    if (name === 'dial') return { verb: name, ...this.#dial(data, place) }
    if (name === 'config') return { verb: name, ...this.#config(data, place) }
    return { verb: name, ...data }
  }

  #dial(data: Data, at: string): Data {
    if (data.listen !== undefined && data.stream !== undefined) {
      throw new ERR_VERB_INVALID(
        `${at} has both listen and stream, and jambonz does only one of them: leave one out`
      )
    }
    const key = data.stream === undefined ? 'listen' : 'stream'
    const nested = data[key]
    return nested === undefined
      ? data
      : { ...data, [key]: this.#listen(withoutVerb(nested as Data), `${at}.${key}`, 'dial') }
  }

  #config(data: Data, at: string): Data {
    if (data.stream !== undefined) {
      throw new ERR_VERB_INVALID(`${at}.stream: jambonz ignores it: say listen instead`)
    }
    if (data.listen === undefined) return data
    const listen = withoutVerb(data.listen as Data)
    const misplaced = FOREGROUND_ONLY.find((property) => property in listen)
    if (misplaced !== undefined) {
      throw new ERR_VERB_INVALID(
        `${at}.listen.${misplaced}: a listen in config has none, and jambonz refuses the whole application over it: leave it out, or use a listen verb`
      )
    }
    this.#validators.configListen(listen, `${at}.listen`)
    const options = listen as ConfigListen
    if (options.enable === false) return { ...data, listen }
    return { ...data, listen: { ...this.#fill(options, `${at}.listen`, 'config'), enable: true } }
  }

  #listen(data: Data, at: string, nested?: Listen['nested']): object {
    this.#validators.listen(data, at)
    const options = data as ListenOptions
    if (options.transcribe !== undefined) {
      this.#validators.verb('transcribe', options.transcribe, `${at}.transcribe`)
    }
    return this.#fill(options, at, nested)
  }

  #fill(data: ListenOptions & ConfigListen, at: string, nested: Listen['nested']): object {
    const prepared = prepareListen({ data, at, nested, ordinal: this.#ordinal++ }, this.#context)
    if (prepared.listen !== undefined) this.listens.push(prepared.listen)
    return prepared.data
  }
}

/** A nested listen has no name of its own, yet is often written with one; jambonz refuses it. */
function withoutVerb(nested: Data): Data {
  const { verb, ...options } = nested
  return verb === 'listen' || verb === 'stream' ? options : nested
}
