// jambonz leaves the keys inside these properties unchanged (feature-server lib/utils/http-requestor.js).
const UNTOUCHED = new Set(['customerData', 'sip', 'env_vars', 'args'])

/** Returns the payload with keys in snake_case at every depth, except inside the UNTOUCHED properties. */
export function snakeCaseKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => snakeCaseKeys(item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      return UNTOUCHED.has(key) ? [key, inner] : [snakeCase(key), snakeCaseKeys(inner)]
    })
  )
}

/**
 * Converts a key as the package to-snake-case does. An underscore replaces each run of punctuation and blanks, and
 * comes before each capital of a key in camelCase.
 */
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
