import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'

export interface OpenOptions {
  protocols?: string[]
  headers?: Record<string, string>
}

export function basic(username: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

/** Opens the socket of a listen. Rejects with the HTTP status if the server refuses the upgrade. */
export async function openSocket(
  url: string,
  { protocols = ['audio.jambonz.org'], headers = {} }: OpenOptions = {}
): Promise<WebSocket> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), protocols, { headers, perMessageDeflate: false })
  const refused = new Promise<never>((_resolve, reject) => {
    socket.on('unexpected-response', (_request, response) =>
      reject(new Error(`refused with ${response.statusCode}`))
    )
    socket.on('error', reject)
  })
  await Promise.race([once(socket, 'open'), refused])
  return socket
}

/** Requests an upgrade. Resolves to its HTTP status, which is 101 if the socket opens. */
export async function statusOf(url: string, options?: OpenOptions): Promise<number> {
  try {
    const socket = await openSocket(url, options)
    socket.terminate()
    return 101
  } catch (err) {
    return Number(/refused with (\d+)/.exec((err as Error).message)?.[1])
  }
}

/** Waits until the server closes the socket. Resolves to the close code and reason. */
export async function closing(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  return { code, reason: reason.toString() }
}

export interface WebSocketPair {
  /** the server's end */
  socket: WebSocket
  /** the client's end, which plays jambonz */
  client: WebSocket
}

/**
 * Opens a websocket between two ends in this process, and resolves to both. `autoPong`: false if the client
 * must not answer pings by itself.
 */
export async function webSocketPair(t: Test, { autoPong = true } = {}): Promise<WebSocketPair> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  t.teardown(() => {
    for (const each of server.clients) each.terminate()
    server.close()
  })
  await once(server, 'listening')
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, { autoPong })
  const [[socket]] = (await Promise.all([once(server, 'connection'), once(client, 'open')])) as [
    [WebSocket],
    unknown
  ]
  t.teardown(() => client.terminate())
  return { socket, client }
}
