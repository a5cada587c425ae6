/** Levels copied here, more than any call has; deeper values may be a circle: JSON itself judges them. */
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

/** Copies all fields at once and mends the copy: an object that grows field by field costs ten times as much. */
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

/** Returns true for a value that JSON keeps as it is. */
export function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || value === null || Number.isFinite(value)
}

/** Returns true for an object that JSON writes field by field, and whose fields can be assigned one by one. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return (
    (prototype === Object.prototype || prototype === null) &&
    !('toJSON' in value) &&
    !Object.hasOwn(value, '__proto__')
  )
}

/**
 * Copies, through text, a value that JSON treats specially: dates, classes, functions, undefined fields, `__proto__`.
 */
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
