/** The address that the media server connects to, and the path that it requests. */
export interface Address {
  host: string
  port: number
  path: string
  tls: boolean
}

/**
 * Number of characters of a path with its query from which on the media server crashes. There a recursive std::regex
 * overflows a stack of 240 KB.
 */
export const CRASHING_PATH = 690

const SCHEMES = [
  { prefixes: ['https://', 'HTTPS://', 'wss://', 'WSS://'], port: 443, tls: true },
  { prefixes: ['http://', 'HTTP://', 'ws://', 'WS://'], port: 80, tls: false }
]

/**
 * Splits a url as mod_audio_fork does (parse_ws_uri), with the same mistakes. A query without a slash before it becomes
 * a part of the host. `user:password@` and IPv6 addresses give a wrong host. A scheme in mixed case is refused
 * (undefined). A fragment is sent to the server.
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
