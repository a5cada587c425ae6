import { isObject } from '../model/json.js'
import { PUBLISHED_SCHEMAS } from './publishedSchemas.js'

/** The part of JSON Schema that `@jambonz/schema` uses. */
export interface JsonSchema {
  $id?: string
  $ref?: string
  $defs?: Record<string, JsonSchema>
  type?: string
  description?: string
  const?: unknown
  enum?: unknown[]
  properties?: Record<string, JsonSchema>
  required?: string[]
  additionalProperties?: boolean | JsonSchema
  unevaluatedProperties?: boolean
  items?: JsonSchema
  allOf?: JsonSchema[]
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
}

export interface NamedSchema extends JsonSchema {
  $id: string
}

/** The schema files of `@jambonz/schema`. They are built in, since an application may be bundled into one file. */
export interface PublishedSchemas {
  verbs: readonly NamedSchema[]
  components: readonly NamedSchema[]
}

export interface JambonzSchemas {
  verbs: Map<string, NamedSchema>
  components: NamedSchema[]
}

export const SCHEMA_BASE = 'https://jambonz.org/schema'
export const verbSchemaId = (verb: string): string => `${SCHEMA_BASE}/verbs/${verb}`

/** Verbs that jambonz runs (feature-server lib/tasks), but that `@jambonz/schema` does not describe. */
const UNDESCRIBED = ['lex', 'rasa']

/** Shorthands of `llm` that have no schema file of their own (`@jambonz/schema` lib/normalize.js). */
const LLM_SHORTHANDS: Record<string, string> = { microsoft_s2s: 'microsoft', voiceagent_s2s: 'voiceagent' }

/** Components in which jambonz refuses an unknown property (`@jambonz/verb-specifications`). */
const STRICT_COMPONENTS = new Set([
  'actionHookDelayAction',
  'amd',
  'auth',
  'fillerNoise',
  'recognizer',
  'synthesizer',
  'target',
  'vad'
])

const openObject: JsonSchema = { type: 'object', additionalProperties: true }

/** Properties that jambonz accepts (`@jambonz/verb-specifications`) and that the schemas lack or leave open. */
const ADDED: Record<string, Record<string, JsonSchema>> = {
  'components/recognizer': {
    nuanceOptions: openObject,
    cobaltOptions: openObject,
    verbioOptions: openObject
  },
  // jambonz' feature server knows this option only under this name.
  'components/recognizer-speechmaticsOptions': { audio_events_config_config: openObject },
  'verbs/config': { transcribe: { $ref: verbSchemaId('transcribe') } },
  'verbs/dial': { transcribe: { $ref: verbSchemaId('transcribe') } },
  'verbs/enqueue': { _: openObject },
  'verbs/listen': { auth: { $ref: `${SCHEMA_BASE}/components/auth` } },
  'verbs/gather': { say: { $ref: verbSchemaId('say') }, play: { $ref: verbSchemaId('play') } }
}

const number: JsonSchema = { type: 'number' }

/**
 * Objects inside verbs in which jambonz refuses an unknown property, with the properties that the schemas lack
 * (`@jambonz/verb-specifications`).
 */
const STRICT_PARTS: Record<string, Record<string, Record<string, JsonSchema>>> = {
  'verbs/config': {
    bargeIn: {
      partialResultHook: { $ref: `${SCHEMA_BASE}/components/actionHook` },
      finishOnKey: { type: 'string' },
      numDigits: number,
      minDigits: number,
      maxDigits: number,
      interDigitTimeout: number,
      dtmfBargein: { type: 'boolean' }
    }
  },
  'components/target': { from: {} }
}

/** Properties that jambonz requires inside `config`, although the schemas do not. */
const REQUIRED: Record<string, Record<string, string[]>> = {
  'verbs/config': { bargeIn: ['enable'], record: ['action'], transcribe: ['enable'], ttsStream: ['enable'] }
}

/**
 * Returns the schemas of `@jambonz/schema`, made as strict as jambonz itself. Its feature server refuses the whole
 * application, and drops the call, over one unknown property, which the published schemas accept. A schema describes a
 * verb without its `verb` property.
 */
export function loadJambonzSchemas(published: PublishedSchemas = PUBLISHED_SCHEMAS): JambonzSchemas {
  const components = published.components.map((schema) => adapt(schema))
  const verbs = new Map<string, NamedSchema>()
  for (const schema of published.verbs) {
    verbs.set(schema.$id.slice(`${SCHEMA_BASE}/verbs/`.length), adapt(schema))
  }
  for (const name of UNDESCRIBED) verbs.set(name, { ...openObject, $id: verbSchemaId(name) })
  for (const [name, vendor] of Object.entries(LLM_SHORTHANDS)) {
    const allOf = [{ $ref: `${SCHEMA_BASE}/components/llm-base` }]
    verbs.set(
      name,
      adapt({
        $id: verbSchemaId(name),
        type: 'object',
        allOf,
        properties: { vendor: { const: vendor } },
        required: ['llmOptions']
      })
    )
  }
  return { verbs, components }
}

function adapt(schema: NamedSchema): NamedSchema {
  const path = schema.$id.slice(SCHEMA_BASE.length + 1)
  const [kind, name = ''] = path.split('/')
  const adapted = rewrite(schema)
  if (ADDED[path] !== undefined) adapted.properties = { ...adapted.properties, ...ADDED[path] }
  for (const [property, required] of Object.entries(REQUIRED[path] ?? {})) {
    adapted.properties = {
      ...adapted.properties,
      [property]: { ...adapted.properties?.[property], required }
    }
  }
  for (const [property, lacking] of Object.entries(STRICT_PARTS[path] ?? {})) {
    const part = adapted.properties?.[property]
    adapted.properties = {
      ...adapted.properties,
      [property]: { ...part, properties: { ...part?.properties, ...lacking }, additionalProperties: false }
    }
  }
  if (path === 'components/actionHook') takeAnyCase(adapted)
  if (kind === 'verbs') delete adapted.properties?.verb
  if (kind === 'verbs' || STRICT_COMPONENTS.has(name)) adapted.unevaluatedProperties = false
  return adapted
}

/** Lets a hook have its method in any case, as jambonz does (feature-server lib/utils/http-requestor.js). */
function takeAnyCase(hook: NamedSchema): void {
  for (const { properties } of hook.anyOf ?? []) {
    if (properties?.method?.enum) properties.method = { enum: METHODS }
  }
}

const SCALARS: JsonSchema = { anyOf: [{ type: 'string' }, { type: 'number' }] }
const METHODS = ['GET', 'POST', 'get', 'post', 'Get', 'Post']

/**
 * Returns a copy with absolute references. `oneOf` becomes `anyOf`, since a string `confirmHook` of a dial
 * target matches two branches and would be refused. jambonz does not check an object without described
 * properties, such as `gladiaOptions`, so such an object may have any properties. jambonz does not check a
 * map of strings, such as `headers`, either, so such a map may also have numbers.
 */
function rewrite(schema: NamedSchema): NamedSchema {
  return JSON.parse(JSON.stringify(schema), (key: string, value: unknown) => {
    if (key === '$ref') return String(value).startsWith('#') ? value : new URL(String(value), schema.$id).href
    if (!isObject(value)) return value
    const { oneOf, ...rest } = value as JsonSchema
    const { additionalProperties: others, properties, allOf } = rest
    return {
      ...rest,
      ...(oneOf !== undefined && { anyOf: oneOf }),
      ...(others === false && (properties ?? allOf ?? oneOf) === undefined && { additionalProperties: true }),
      ...(isObject(others) && others.type === 'string' && { additionalProperties: SCALARS })
    }
  }) as NamedSchema
}
