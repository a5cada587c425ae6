import { createHash, randomBytes } from 'node:crypto'
import type { Address } from './address.js'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const SUBPROTOCOL = 'audio.jambonz.org'

/** Bytes of the longest header line that libwebsockets accepts: 3,800 were accepted, 4,000 were not (measured). */
const MAX_HEADER_LINE = 3_900
const MAX_HEAD = 256 * 1024

// mod_audio_fork's dch_lws_http_basic_auth_gen writes the header into char[128]; 6 of these chars are "Basic ".
const WHOLE_CREDENTIALS = 89
const CUT_CREDENTIALS = 90
const CUT_BASE64 = 120

export interface Credentials {
  username: string
  password: string
}

/** The server's answer to the upgrade. */
export interface Answer {
  status: number
  text: string
  headers: Map<string, string>
  rest: Buffer
}

/** A failed upgrade, as the media server reports it. jambonz gets only `text`. */
export interface Refusal {
  status: number
  text: string
}

export function newKey(): string {
  return randomBytes(16).toString('base64')
}

/**
 * Returns the upgrade request, byte for byte as the media server sends it: with headers in this order and case, no port
 * in Host, no User-Agent, no extensions, and `authorization` last and in lower case.
 */
export function upgradeRequest(address: Address, key: string, credentials?: Credentials): string {
  const lines = [
    `GET ${address.path} HTTP/1.1`,
    'Pragma: no-cache',
    'Cache-Control: no-cache',
    `Host: ${address.host}`,
    `Origin: ${address.tls ? 'https' : 'http'}://${address.host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
    'Sec-WebSocket-Version: 13'
  ]
  const authorization = basicAuthorization(credentials)
  if (authorization !== undefined) lines.push(`authorization: ${authorization}`)
  return lines.join('\r\n') + '\r\n\r\n'
}

/**
 * Returns the header for HTTP Basic as the media server sends it. User and password of up to 89 bytes together are sent
 * whole, and of 90 bytes without the last byte. If there are more bytes, or user or password is empty, the media server
 * sends no header.
 */
export function basicAuthorization(credentials?: Credentials): string | undefined {
  if (credentials === undefined || credentials.username === '' || credentials.password === '') {
    return undefined
  }
  const pair = Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8')
  const bytes = pair.length - 1
  if (bytes > CUT_CREDENTIALS) return undefined
  const base64 = pair.toString('base64')
  return `Basic ${bytes <= WHOLE_CREDENTIALS ? base64 : base64.slice(0, CUT_BASE64)}`
}

/** Parses the answer once its head is complete. Returns `'garbage'` for an answer that is not HTTP. */
export function readAnswer(bytes: Buffer): Answer | 'garbage' | 'too long' | undefined {
  const start = bytes.toString('latin1', 0, Math.min(bytes.length, 5))
  if (!'HTTP/'.startsWith(start)) return 'garbage'
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return bytes.length > MAX_HEAD ? 'too long' : undefined
  const [statusLine, ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const match = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(statusLine!)
  if (match === null) return 'garbage'
  if (lines.some((line) => line.length > MAX_HEADER_LINE)) return 'too long'
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim())
  }
  return { status: Number(match[1]), text: match[2]!, headers, rest: bytes.subarray(end + 4) }
}

/**
 * Returns why the media server refuses an answer; undefined if it accepts the answer, or if the answer is a redirect.
 */
export function judgeAnswer(answer: Answer, key: string): Refusal | undefined {
  if (answer.status === 401) return { status: 401, text: 'HS: ws upgrade unauthorized' }
  if (answer.status !== 101) return { status: answer.status, text: 'HS: ws upgrade response not 101' }
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64')
  if (answer.headers.get('sec-websocket-accept') !== accept) {
    return { status: 101, text: 'HS: Accept hash wrong' }
  }
  const protocol = answer.headers.get('sec-websocket-protocol')
  if (protocol !== undefined && protocol !== SUBPROTOCOL) {
    return { status: 101, text: 'HS: PROTOCOL malformed' }
  }
  return undefined
}

/**
 * Returns the target of a redirect. The media server follows only absolute urls with ws://, wss://, http:// or
 * https://; any other target is `'relative'`, and fails.
 */
export function redirection(answer: Answer): string | 'relative' | undefined {
  if (answer.status < 300 || answer.status > 399) return undefined
  const location = answer.headers.get('location')
  if (location === undefined) return undefined
  return /^(ws|http)s?:\/\//.test(location) ? location : 'relative'
}
