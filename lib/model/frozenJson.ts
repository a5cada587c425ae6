/** Deeper than any call: what is nested further may be a circle, and is left to JSON to judge. */
const MAX_DEPTH = 16

/**
 * Returns a copy of a value as JSON keeps it, deeply frozen: neither the caller nor anyone else can change the copy.
 * Returns undefined if JSON keeps nothing of it. Throws JSON's own errors (a BigInt, a circle).
 */
export function frozenJson<T>(value: T): T {
  return copied(value, 0) as T
}

function copied(value: unknown, depth: number): unknown {
  if (isScalar(value)) return value
  if (depth < MAX_DEPTH && Array.isArray(value)) {
    return Object.freeze(value.map((inner) => copied(inner, depth + 1) ?? null))
  }
  if (depth < MAX_DEPTH && isPlain(value)) return copiedFields(value, depth + 1) ?? throughText(value)
  return throughText(value)
}

/** Copied at once and then mended: objects that grow field by field cost ten times as much. */
function copiedFields(fields: Record<string, unknown>, depth: number): object | undefined {
  const copy = Object.assign({}, fields)
  for (const name of Object.keys(copy)) {
    const value = copy[name]
    if (isScalar(value)) continue
    copy[name] = copied(value, depth)
    if (copy[name] === undefined) return undefined
  }
  return Object.freeze(copy)
}

/** JSON takes it as it is. */
export function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || value === null || Number.isFinite(value)
}

/** An object that JSON writes field by field, and whose fields can be assigned one by one. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return (
    (prototype === Object.prototype || prototype === null) &&
    !('toJSON' in value) &&
    !Object.hasOwn(value, '__proto__')
  )
}

/** Whatever JSON has a way of its own with: dates, classes, functions, fields that are undefined, `__proto__`. */
function throughText(value: unknown): unknown {
  const text = JSON.stringify(value)
  return text === undefined ? undefined : deepFreeze(JSON.parse(text))
}

/** Freezes the value itself. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
