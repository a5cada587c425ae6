/** The address that the media server connects to, and the path that it requests. */
export interface Address {
  host: string
  port: number
  path: string
  tls: boolean
}

/**
 * Length of a path, with its query, from which on the media server crashes: a recursive std::regex on a 240 KB stack.
 */
export const CRASHING_PATH = 690

const SCHEMES = [
  { prefixes: ['https://', 'HTTPS://', 'wss://', 'WSS://'], port: 443, tls: true },
  { prefixes: ['http://', 'HTTP://', 'ws://', 'WS://'], port: 80, tls: false }
]

/**
 * Splits a url as mod_audio_fork does (parse_ws_uri), with its mistakes: a query without a slash becomes part of the
 * host, `user:password@` breaks the url, IPv6 is impossible, mixed-case schemes are refused (undefined), fragments are
 * sent.
 */
export function splitAddress(url: string): Address | undefined {
  for (const { prefixes, port, tls } of SCHEMES) {
    const prefix = prefixes.find((candidate) => url.startsWith(candidate))
    if (prefix === undefined) continue
    const match = /([^/:]+):?([0-9]*)?(\/.*)?$/.exec(url.slice(prefix.length))
    if (match === null) return undefined
    const [, host, digits, path] = match
    return {
      host: host!,
      port: digits === undefined || digits === '' ? port : Number(digits),
      path: path ?? '/',
      tls
    }
  }
  return undefined
}
