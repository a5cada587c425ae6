const MAX_SHOWN = 80
const SECRET = /password|secret|token|credential|apikey|accesskey|authorization|^(?:auth|wsauth|basicauth)$/i

/** A value for an error message: short, and without credentials. `path` is where it stands, with slashes. */
export function shown (name: string, value: unknown, path = name): string {
  if (path.split('/').some(part => SECRET.test(part)) || SECRET.test(name)) return 'a hidden value'
  const text = JSON.stringify(value, (key, inner: unknown) => SECRET.test(key) ? '***' : inner) ?? String(value)
  const safe = text.replaceAll(/\/\/[^/@\s"]*@/g, '//***@')
  const short = safe.length > MAX_SHOWN ? `${safe.slice(0, MAX_SHOWN)}…` : safe
  return typeof value === 'string' ? `${short} (a string)` : short
}
