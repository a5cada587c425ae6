import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { ERR_VERB_INVALID } from '../errors.js'
import { explain } from './explain.js'
import { loadJambonzSchemas, verbSchemaId } from './jambonzSchemas.js'
import { ConfigListenSchema, ListenOptionsSchema } from './listenSchema.js'
import { didYouMean } from './suggest.js'

export interface VerbValidators {
  /** Throws FST_JAMBONZ_VERB_INVALID unless jambonz knows a verb of that name; `at` is the verb's place, as in `[1]`. */
  knows (name: string, at: string): void
  /** Checks a verb's data (without `verb`) against jambonz' schema of it. `at` as in `[1] dial`. */
  verb (name: string, data: unknown, at: string): void
  listen (data: unknown, at: string): void
  configListen (data: unknown, at: string): void
}

let validators: VerbValidators | undefined

/** Compiled once per process, all of them: a call must not wait for it. */
export function verbValidators (): VerbValidators {
  validators ??= compile()
  return validators
}

function compile (): VerbValidators {
  const ajv = new Ajv2020({
    strict: false,
    validateFormats: false,
    validateSchema: false,
    verbose: true,
    logger: false,
    // Half the time to compile, and as fast afterwards.
    inlineRefs: false,
    code: { optimize: false }
  })
  const { verbs, components } = loadJambonzSchemas()
  for (const schema of components) ajv.addSchema(schema)
  for (const schema of verbs.values()) ajv.addSchema(schema)
  const resolve = (id: string) => ajv.getSchema(id)?.schema
  const byName = new Map<string, ValidateFunction>()
  for (const name of verbs.keys()) {
    const validate = ajv.getSchema(verbSchemaId(name))
    if (validate !== undefined) byName.set(name, validate)
  }
  const listen = ajv.compile(ListenOptionsSchema)
  const configListen = ajv.compile(ConfigListenSchema)
  const run = (validate: ValidateFunction, data: unknown, at: string) => {
    if (!validate(data)) throw new ERR_VERB_INVALID(explain(validate.errors ?? [], at, resolve))
  }
  const find = (name: string, at: string) => {
    const validate = byName.get(name)
    if (validate === undefined) throw new ERR_VERB_INVALID(`${at}: jambonz knows no verb "${name}"${didYouMean(name, [...byName.keys()])}`)
    return validate
  }
  return {
    knows: (name, at) => { find(name, at) },
    verb: (name, data, at) => run(find(name, at), data, at),
    listen: (data, at) => run(listen, data, at),
    configListen: (data, at) => run(configListen, data, at)
  }
}
