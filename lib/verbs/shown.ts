const MAX_SHOWN = 80
const SECRET =
  /password|secret|(?<!max)tokens?$|credential|apikey|accesskey|authorization|^(?:auth|wsauth|basicauth)$/i

/** A JSON value for an error message: short, and without credentials. `path` is where it stands, with slashes. */
export function shown(path: string, value: unknown): string {
  if (path.split('/').some((name) => SECRET.test(name))) return 'a hidden value'
  const text = JSON.stringify(value, (name, inner: unknown) => (SECRET.test(name) ? '***' : inner))
  const safe = text.replaceAll(/\/\/[^/@\s"]*@/g, '//***@')
  return safe.length > MAX_SHOWN ? `${safe.slice(0, MAX_SHOWN)}…` : safe
}
