// Their contents belong to the user or to SIP, so their keys stay as they are (feature-server lib/utils/http-requestor.js).
const UNTOUCHED = new Set(['customerData', 'sip', 'env_vars', 'args'])

/** The payload of an http request: keys in snake_case at every depth, except inside the four that jambonz leaves alone. */
export function snakeCaseKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => snakeCaseKeys(item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      return UNTOUCHED.has(key) ? [key, inner] : [snakeCase(key), snakeCaseKeys(inner)]
    })
  )
}

/** One key as the package to-snake-case turns it: camelCase humps, punctuation and blanks become one underscore each. */
export function snakeCase(key: string): string {
  const camel = !/[\s_.:-]/.test(key) && /[a-z][A-Z]|[A-Z][a-z]/.test(key)
  const plain = camel ? splitHumps(key) : key.toLowerCase()
  return plain
    .replace(/[\W_]+(.|$)/g, (_match, next: string) => (next === '' ? '' : ` ${next}`))
    .trim()
    .replace(/\s/g, '_')
}

function splitHumps(key: string): string {
  return key
    .replace(/(.)([A-Z]+)/g, (_match, before: string, capitals: string) => {
      return `${before} ${[...capitals.toLowerCase()].join(' ')}`
    })
    .toLowerCase()
}
