// This file decides which values are credentials. Errors and logs hide these values, and the store does not
// keep them.

/** The name and password of HTTP Basic. */
export interface Credentials {
  username: string
  password: string
}

// Parts of regular expressions.
/** Matches words that may stand anywhere in a name. */
const WORDS =
  'pass[-_]?(?:word|wd|phrase|code)|secret|credential|authori[sz]ation|bearer|cookie|signature|(?:private|access|api|subscription)[-_]?key'
/** Matches the end of a name. */
const ENDING = 'tokens?'
/** Matches a whole name. */
const WHOLE = '(?:(?:ws|basic|webhook)?[-_]?auth|pwd|pin|key|sig|jwt)'
/** Matches the end of a url's scheme and the credentials after it. */
const USERINFO = String.raw`:\/\/[^/?#\s]*@`

/** Matches the names of properties and url parameters whose values are credentials. */
const CREDENTIAL_NAME = new RegExp(`${WORDS}|(?<!max[-_]?)${ENDING}$|^${WHOLE}$`, 'i')
/** Matches `Bearer …`, `Basic …`, or a url with credentials. */
const CREDENTIAL_VALUE = new RegExp(
  String.raw`^(?:bearer|basic)\s+[\w+/.=~-]{16,}$|^[a-z][\w+.-]*${USERINFO}`,
  'i'
)
/**
 * Matches the JSON of every value that has a credential, and of few other values. One scan of the text takes
 * a tenth of the time of a check of each name and value.
 */
const SUSPICIOUS = new RegExp(
  String.raw`${WORDS}|${ENDING}["=]|["?&](?:${WHOLE}["=]|basic[\s\\])|${USERINFO}`,
  'i'
)
const QUERY_PARAMETERS = /([?&])([^=&#]+)=([^&#"\s]*)/g
/** Matches the credentials before the host of a url, anywhere in a text. */
const URL_CREDENTIALS = /\/\/[^/@\s"]*@/g
/** Matches the value of an Authorization header, anywhere in a text. */
const HEADER_CREDENTIALS = /\b(bearer|basic)\s+[\w+/.=~-]{16,}/gi

/**
 * Maximum number of names whose result is remembered, since verbs have the same few hundred properties again
 * and again.
 */
const MAX_REMEMBERED = 2_000
const remembered = new Map<string, boolean>()

/** Returns true if a property or url parameter of this name holds a credential. */
export function isCredentialName(name: string): boolean {
  let isOne = remembered.get(name)
  if (isOne === undefined) {
    isOne = CREDENTIAL_NAME.test(name)
    if (remembered.size < MAX_REMEMBERED) remembered.set(name, isOne)
  }
  return isOne
}

/** Returns true if a name or a value, at any depth of a JSON value, looks like a credential. `json`: its text. */
export function hasCredentials(value: unknown, json: string): boolean {
  return SUSPICIOUS.test(json) && containsCredential(value)
}

function containsCredential(value: unknown): boolean {
  if (typeof value === 'string') return CREDENTIAL_VALUE.test(value) || hasCredentialParameter(value)
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.some(containsCredential)
  return Object.entries(value).some(
    ([name, inner]) => (inner !== undefined && isCredentialName(name)) || containsCredential(inner)
  )
}

function hasCredentialParameter(text: string): boolean {
  if (!text.includes('=')) return false
  return Array.from(text.matchAll(QUERY_PARAMETERS), ([, , name = '']) => name).some(isCredentialName)
}

/** Returns the JSON of a value with `***` in place of credentials; undefined if the value is no JSON. */
export function jsonWithoutCredentials(value: unknown): string | undefined {
  const text = JSON.stringify(value, (name, inner: unknown) => (isCredentialName(name) ? '***' : inner)) as
    string | undefined
  return text
    ?.replaceAll(URL_CREDENTIALS, '//***@')
    .replaceAll(HEADER_CREDENTIALS, '$1 ***')
    .replaceAll(QUERY_PARAMETERS, (whole, before: string, name: string) =>
      isCredentialName(name) ? `${before}${name}=***` : whole
    )
}

/**
 * Returns true if both are the same username and password. Does not take constant time, so use it only for
 * credentials that the application has set itself.
 */
export function isSameCredentials(
  one: { username?: unknown; password?: unknown } | undefined,
  other: Credentials | undefined
): boolean {
  return (
    one !== undefined &&
    other !== undefined &&
    one.username === other.username &&
    one.password === other.password
  )
}
