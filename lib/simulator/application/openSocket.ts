import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocket, type ClientOptions } from 'ws'
import type { Clock } from '../clock.js'
import { reasonOf } from '../errors.js'
import type { Network } from '../network.js'
import { quote } from '../problems.js'
import type { Credentials } from './requestor.js'
import type { Failure } from './retries.js'

const SUBPROTOCOL = 'ws.jambonz.org'
const HANDSHAKE_TIMEOUT_MS = 1_500
const MAX_MESSAGE_BYTES = 24 * 1024
const MAX_REDIRECTS = 2
/** The most characters of a refusal's body that are reported. */
const MAX_BODY = 2_000
/** Real ms to wait for the body of a refusal. */
const BODY_PATIENCE_MS = 250

/** The server of an application websocket. */
export interface SocketServer {
  network: Network
  clock: Clock
  /** Absolute ws(s) url. */
  url: string
  credentials: Credentials | undefined
}

export interface OpeningFailure extends Failure {
  text: string
}

/**
 * Opens an application websocket as jambonz does (feature-server lib/utils/ws-requestor.js). Calls `opened` in the turn
 * in which the socket opens, so that listeners which `opened` adds miss no message. Resolves to undefined when the
 * socket has opened, or to the failure.
 */
export function openSocket(
  { network, clock, url, credentials }: SocketServer,
  opened: (socket: WebSocket) => void
): Promise<OpeningFailure | undefined> {
  const release = clock.hold()
  return new Promise((resolve) => {
    const socket = new WebSocket(url, [SUBPROTOCOL], {
      followRedirects: true,
      maxRedirects: MAX_REDIRECTS,
      maxPayload: MAX_MESSAGE_BYTES,
      headers: { 'user-agent': 'jambonz' },
      ...(credentials !== undefined && { auth: `${credentials.username}:${credentials.password}` }),
      createConnection: connectionsOf(network)
    })
    const settle = (failure?: OpeningFailure) => {
      clearTimeout(timer)
      release()
      resolve(failure)
    }
    const fail = (failure: OpeningFailure) => {
      settle(failure)
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.terminate()
    }
    const timer = setTimeout(
      () => fail({ text: `no answer to the handshake within ${HANDSHAKE_TIMEOUT_MS} ms` }),
      HANDSHAKE_TIMEOUT_MS
    )
    socket.once('unexpected-response', (_request, response) => {
      const { statusCode, statusMessage } = response
      const text = `${statusCode} ${statusMessage}`
      bodyOf(response).then((body) =>
        fail({ status: statusCode, text: body === '' ? text : `${text}: ${quote(body)}` })
      )
    })
    socket.once('error', (error: NodeJS.ErrnoException) => fail({ code: error.code, text: reasonOf(error) }))
    socket.once('open', () => {
      socket.removeAllListeners()
      opened(socket)
      settle()
    })
  })
}

/**
 * Returns the function with which ws connects to an address: in this process or over the network, also after redirects.
 */
function connectionsOf(network: Network): NonNullable<ClientOptions['createConnection']> {
  const connect = (address: { host: string; port: string | number; defaultPort: number }): Duplex =>
    network.connect(
      { host: address.host, port: Number(address.port), tls: address.defaultPort === 443 },
      () => {}
    )
  return connect as unknown as NonNullable<ClientOptions['createConnection']>
}

/** Reads as much of a refusal's body as arrives in time. jambonz does not read the body; the story reports it. */
async function bodyOf(response: IncomingMessage): Promise<string> {
  const kill = setTimeout(() => response.destroy(), BODY_PATIENCE_MS)
  let body = ''
  try {
    for await (const chunk of response) if (body.length < MAX_BODY) body += String(chunk)
  } catch {
    // The story reports the part of the body that has arrived.
  }
  clearTimeout(kill)
  return body
}
