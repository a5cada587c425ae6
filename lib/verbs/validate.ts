import type { ErrorObject, ValidateFunction } from 'ajv'
import { didYouMean } from '../model/checkOptions.js'
import { isCredentialName, jsonWithoutCredentials, type Credentials } from '../model/credentials.js'
import { ERR_CREDENTIALS, ERR_VERB_INVALID } from '../model/errors.js'
import * as compiled from './compiledVerbs.js'
import { loadJambonzSchemas, type JsonSchema } from './jambonzSchemas.js'
import type { ConfigListen } from './listenSchema.js'

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

/** Returns true for the name of a verb that jambonz knows. */
export function isVerbName(name: string): boolean {
  return name === 'listen' || name === 'stream' || Object.hasOwn(compiled.verbs, name)
}

/** Checks the options that a handler gives for a listen or stream verb. */
export function checkListenOptions(data: unknown, at: string): void {
  check(compiled.listen, data, at)
}

/** Checks `config.listen`. */
export function checkConfigListen(data: unknown, at: string): void {
  check(compiled.configListen, data, at)
}

function check(validate: ValidateFunction, data: unknown, at: string): void {
  if (!validate(data)) {
    throw new ERR_VERB_INVALID(explain(validate.errors as unknown as Errors, at))
  }
}

let schemasById: Map<string, JsonSchema> | undefined

/** Returns the names of a schema's properties. */
function knownProperties({ properties = {}, allOf = [], $ref }: JsonSchema): string[] {
  const referred = $ref === undefined ? undefined : schemaOf($ref)
  const parts = referred ? [...allOf, referred] : allOf
  return [...Object.keys(properties), ...parts.flatMap(knownProperties)]
}

/** Returns the schema that has the id. The schemas are read at the first mistake in a verb. */
function schemaOf(id: string): JsonSchema | undefined {
  if (schemasById === undefined) {
    const { verbs, components } = loadJambonzSchemas()
    schemasById = new Map([...components, ...verbs.values()].map((schema) => [schema.$id, schema]))
  }
  return schemasById.get(id)
}

/** The errors of ajv, at least one. */
type Errors = readonly [ErrorObject, ...ErrorObject[]]

const UNKNOWN_PROPERTY = new Set(['additionalProperties', 'unevaluatedProperties'])
/** Keywords whose error only reports that one of their branches failed. */
const COMBINERS = new Set(['anyOf', 'if'])

/**
 * Returns one sentence for ajv's errors: the place, the value, and what is allowed. Of the branches of an
 * `anyOf`, it explains the branch that matched furthest. In `actionHook: { method: 'PUT' }`, for example, it
 * explains that the method is wrong, and not that the hook is no string. Needs ajv's option `verbose`.
 */
function explain(errors: Errors, at: string): string {
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

/**
 * Returns the depth of an error. An error about a missing or unknown property is one level below its object.
 */
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
  if (types.size > 0) {
    const isNumeric = types.has('number') || types.has('integer')
    const hint = error.data === null && isNumeric ? ' (JSON writes NaN and Infinity as null)' : ''
    return `must be ${[...types].join(' or ')}${hint}`
  }
  const { description } = error.parentSchema as { description?: string }
  return `${error.message}${description === undefined ? '' : ` (${description})`}`
}

/** maximum characters of a value that an error shows */
export const MAX_SHOWN = 80

/** Returns a JSON value for an error message: short, and without credentials. `path`: its place, with slashes. */
export function shown(path: string, value: unknown): string {
  if (path.split('/').some((name) => isCredentialName(name))) return 'a hidden value'
  const safe = jsonWithoutCredentials(value) ?? 'undefined'
  return safe.length > MAX_SHOWN ? `${safe.slice(0, MAX_SHOWN)}…` : safe
}

// The checks of a listen that no schema can make.

/**
 * Maximum characters of a listen's url. The media server splits the url with a recursive regular expression
 * and crashes at about 700 characters (mod_audio_fork), which include the host and base path that jambonz
 * puts before a relative url.
 */
export const MAX_URL_LENGTH = 400

const ABSOLUTE = /^(?:wss?|https?):\/\//
const SPEAKABLE = /^(?:wss?|https?):\/\/[^/?#@[\]]+(?:\/|$)/
const PRINTABLE = /^[!-{}~]+$/

/** Throws FST_JAMBONZ_VERB_INVALID for a url that jambonz' media server cannot open, or that would crash it. */
export function checkUrl(url: string, at: string): void {
  const problem = urlProblem(url)
  if (problem !== undefined) throw new ERR_VERB_INVALID(`${at}.url is ${shown('', url)}: ${problem}`)
}

function urlProblem(url: string): string | undefined {
  if (url === '') return 'leave it out, or name an audio route'
  if (url.length > MAX_URL_LENGTH) {
    return `at ${url.length} characters it could crash jambonz' media server: keep it within ${MAX_URL_LENGTH}`
  }
  if (!PRINTABLE.test(url)) return 'percent-encode what is not printable ASCII, spaces and the character |'
  if (!url.startsWith('/') && ABSOLUTE.test(url) && !SPEAKABLE.test(url)) {
    return 'jambonz needs scheme://host[:port]/path, and takes no credentials, IPv6 address or query right after the host: put credentials into wsAuth'
  }
  return undefined
}

/** The key of a listen's id in the metadata frame. */
export const LISTEN_METADATA_KEY = 'jambonzListenId'

/**
 * Maximum bytes of JSON that a verb's own metadata may have. The media server cuts the frame at 8192 bytes
 * (mod_audio_fork), which also hold jambonz' call attributes, SIP headers and `customerData`.
 */
export const MAX_METADATA_BYTES = 4_096

/**
 * The keys that jambonz writes into the frame (feature-server lib/tasks/listen.js, lib/session/call-info.js). Metadata
 * of the verb would overwrite them.
 */
const RESERVED = new Set([
  'sampleRate',
  'mixType',
  'callSid',
  'parentCallSid',
  'accountSid',
  'applicationSid',
  'direction',
  'from',
  'to',
  'callId',
  'callerId',
  'callerName',
  'callStatus',
  'sbcCallid',
  'sipStatus',
  'sipReason',
  'traceId',
  'fsSipAddress',
  'fsPublicIp',
  'apiBaseUrl',
  'originatingSipIp',
  'originatingSipTrunkName',
  'callTerminationBy',
  'duration',
  'customerData',
  'headers',
  LISTEN_METADATA_KEY
])

/** Throws FST_JAMBONZ_VERB_INVALID for keys of jambonz, and for metadata that is too long. */
export function checkMetadata(metadata: Record<string, unknown>, at: string): void {
  const reserved = Object.keys(metadata).find((key) => RESERVED.has(key))
  if (reserved !== undefined) {
    throw new ERR_VERB_INVALID(
      `${at}.metadata.${reserved}: jambonz or this plugin uses this name in the same frame. Choose another name`
    )
  }
  checkMetadataSize(metadata, at)
}

export function checkMetadataSize(metadata: Record<string, unknown>, at: string): void {
  const bytes = Buffer.byteLength(JSON.stringify(metadata))
  if (bytes > MAX_METADATA_BYTES) {
    throw new ERR_VERB_INVALID(
      `${at}.metadata is ${bytes} bytes of JSON, more than the ${MAX_METADATA_BYTES} that reach the socket whole. Keep the data with calls.update() instead`
    )
  }
}

export type BidirectionalOptions = Pick<ConfigListen, 'bidirectionalAudio' | 'disableBidirectionalAudio'>

/** Throws FST_JAMBONZ_VERB_INVALID for options that jambonz accepts, but with which it would play nothing. */
export function checkBidirectional(
  { bidirectionalAudio, disableBidirectionalAudio }: BidirectionalOptions,
  at: string
): void {
  if (bidirectionalAudio === undefined) return
  const { enabled, streaming } = bidirectionalAudio
  if (disableBidirectionalAudio === true && (enabled === true || streaming === true)) {
    throw new ERR_VERB_INVALID(
      `${at}.disableBidirectionalAudio contradicts ${at}.bidirectionalAudio: leave it out`
    )
  }
  if (enabled === false && streaming === true) {
    throw new ERR_VERB_INVALID(
      `${at}.bidirectionalAudio has streaming: true with enabled: false, and the caller would hear nothing: set enabled to true, or leave streaming out`
    )
  }
}

/**
 * Maximum bytes of username and password together, in UTF-8, that jambonz can send on a websocket. With 90
 * bytes the password lacks its last byte, with more there is no Authorization header (mod_audio_fork).
 */
export const MAX_CREDENTIALS_BYTES = 89

const CONTROL_CHARACTERS = /\p{Cc}/u

/**
 * Checks HTTP Basic credentials for jambonz. `name`: their place, as in `auth` or `[0] listen.wsAuth`. Throws
 * FST_JAMBONZ_CREDENTIALS.
 */
export function checkCredentials(name: string, { username, password }: Credentials): void {
  if (username === '' || password === '') {
    throw new ERR_CREDENTIALS(
      name,
      `${username === '' ? 'username' : 'password'} is empty, and jambonz then sends no credentials: set both, or neither`
    )
  }
  if (username.includes(':')) {
    throw new ERR_CREDENTIALS(
      name,
      'username has a colon, after which HTTP Basic expects the password. Choose a username without a colon'
    )
  }
  if (CONTROL_CHARACTERS.test(username + password)) {
    throw new ERR_CREDENTIALS(
      name,
      "they have a control character, such as a line feed, which jambonz can't pass to its media server"
    )
  }
  const bytes = Buffer.byteLength(username) + Buffer.byteLength(password)
  if (bytes > MAX_CREDENTIALS_BYTES) {
    throw new ERR_CREDENTIALS(
      name,
      `username and password are ${bytes} bytes together, and jambonz sends at most ${MAX_CREDENTIALS_BYTES}: shorten them`
    )
  }
}
