import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { ERR_VERB_INVALID } from '../model/errors.js'
import { explain, type Errors, didYouMean } from './explain.js'
import { loadJambonzSchemas, verbSchemaId, type JsonSchema } from './jambonzSchemas.js'
import { ConfigListenSchema, ListenOptionsSchema } from './listenSchema.js'

/** Each throws FST_JAMBONZ_VERB_INVALID. `at` is the place of what it checks, as in `[1] dial.listen`. */
export interface VerbValidators {
  /** Checks a verb's data (without `verb`) against jambonz' schema of it. */
  verb(name: string, data: unknown, at: string): void
  listen(data: unknown, at: string): void
  configListen(data: unknown, at: string): void
}

let validators: VerbValidators | undefined

/** Compiled once per process, all of them: a call must not wait for it. */
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
    // Half the time to compile, and as fast afterwards.
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
