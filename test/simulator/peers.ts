import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'
import { WebSocketServer, type WebSocket } from 'ws'

export interface Posted {
  method: string
  url: string
  headers: IncomingMessage['headers']
  rawHeaders: string[]
  body: string
  json: Record<string, unknown>
}

/** The verbs of an answer, or an object that sets any part of the answer. */
export type Answer =
  | unknown[]
  | {
      status?: number
      contentType?: string
      body?: string
      delayMs?: number
      destroy?: boolean
      verbs?: unknown[]
    }
export type Route = Answer | ((posted: Posted, count: number) => Answer | Promise<Answer>)

export interface Peer {
  server: ReturnType<typeof createServer>
  port: number
  url: (path: string) => string
  posted: Posted[]
  at: (path: string) => Posted[]
}

/**
 * Starts a jambonz application on node:http, with one answer per path. If `socket` is given, a ws server
 * takes all upgrades, and `socket` runs for each.
 */
export async function application(
  t: Test,
  routes: Record<string, Route>,
  socket?: (socket: WebSocket, request: IncomingMessage) => void
): Promise<Peer> {
  const posted: Posted[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request
      .on('data', (chunk) => chunks.push(chunk as Buffer))
      .on('end', async () => {
        const body = Buffer.concat(chunks).toString()
        const entry: Posted = {
          method: request.method!,
          url: request.url!,
          headers: request.headers,
          rawHeaders: request.rawHeaders,
          body,
          json: body === '' ? {} : (JSON.parse(body) as Record<string, unknown>)
        }
        posted.push(entry)
        const path = request.url!.split(/[?#]/)[0]!
        const route = routes[path]
        const given =
          typeof route === 'function'
            ? await route(entry, posted.filter((one) => one.url === request.url).length)
            : (route ?? { body: '' })
        const answer = Array.isArray(given) ? { verbs: given } : given
        if (answer.destroy === true) return request.socket.destroy()
        setTimeout(() => {
          const text = answer.verbs === undefined ? (answer.body ?? '') : JSON.stringify(answer.verbs)
          const contentType =
            answer.contentType ??
            (answer.verbs === undefined ? 'text/plain' : 'application/json; charset=utf-8')
          response.writeHead(answer.status ?? 200, { 'content-type': contentType })
          response.end(text)
        }, answer.delayMs ?? 0)
      })
  })
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (protocols) => [...protocols][0]! })
  server.on('upgrade', (request, stream, head) => {
    if (socket === undefined) return stream.destroy()
    sockets.handleUpgrade(request, stream, head, (ws) => socket(ws, request))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    for (const client of sockets.clients) client.terminate()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    server,
    port,
    url: (path) => `http://127.0.0.1:${port}${path}`,
    posted,
    at: (path) => posted.filter((one) => one.url.split(/[?#]/)[0] === path)
  }
}

export interface ClientFrame {
  fin: boolean
  rsv: number
  opcode: number
  masked: boolean
  payload: Buffer
}

/**
 * One connection for audio over TCP, with the text of the upgrade request and all bytes after the request.
 */
export interface RawConnection {
  socket: Socket
  request: string
  /** bytes that were received after the request */
  bytes: Buffer
  ended: boolean
  closed: Promise<void>
  frames: () => ClientFrame[]
  accept: (extra?: string[], after?: Buffer) => void
  text: (text: string) => void
  close: (payload?: Buffer) => void
}

/**
 * Starts a TCP server for audio sockets, without a websocket library. `onRequest` decides how each connection
 * is answered.
 */
export async function rawAudio(
  t: Test,
  onRequest: (connection: RawConnection) => void
): Promise<{ port: number; url: string; connections: RawConnection[] }> {
  const connections: RawConnection[] = []
  const server = createTcpServer((socket) => {
    let head = ''
    const connection: RawConnection = {
      socket,
      request: '',
      bytes: Buffer.alloc(0),
      ended: false,
      closed: new Promise((resolve) => socket.once('close', () => resolve())),
      frames: () => decode(connection.bytes),
      accept: (extra = [], after = Buffer.alloc(0)) => {
        const key = /Sec-WebSocket-Key: (.*)\r\n/.exec(connection.request)![1]!
        const lines = [
          'HTTP/1.1 101 Switching Protocols',
          'Upgrade: websocket',
          'Connection: Upgrade',
          `Sec-WebSocket-Accept: ${acceptOf(key)}`,
          ...extra
        ]
        socket.write(Buffer.concat([Buffer.from(lines.join('\r\n') + '\r\n\r\n'), after]))
      },
      text: (text) => {
        socket.write(serverFrame(0x81, Buffer.from(text)))
      },
      close: (payload) => {
        socket.write(serverFrame(0x88, payload ?? Buffer.alloc(0)))
      }
    }
    connections.push(connection)
    socket.on('error', () => {})
    socket.on('end', () => {
      connection.ended = true
    })
    socket.on('data', (bytes) => {
      if (connection.request !== '') {
        connection.bytes = Buffer.concat([connection.bytes, bytes])
        return
      }
      head += bytes.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      connection.request = head
      onRequest(connection)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const { socket } of connections) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, url: `ws://127.0.0.1:${port}/audio`, connections }
}

export function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
    .digest('base64')
}

/** Returns a websocket frame with the given first byte. The frame is masked if `mask` is given. */
export function serverFrame(first: number, payload: Buffer, mask?: Buffer): Buffer {
  const length = payload.length
  const header =
    length < 126
      ? Buffer.from([first, length])
      : length < 65_536
        ? Buffer.from([first, 126, length >> 8, length & 255])
        : Buffer.alloc(10)
  if (length >= 65_536) {
    header[0] = first
    header[1] = 127
    header.writeBigUInt64BE(BigInt(length), 2)
  }
  if (mask === undefined) return Buffer.concat([header, payload])
  header[1]! |= 0x80
  return Buffer.concat([header, mask, payload.map((byte, index) => byte ^ mask[index % 4]!)])
}

function decode(bytes: Buffer): ClientFrame[] {
  const frames: ClientFrame[] = []
  for (let at = 0; at + 2 <= bytes.length;) {
    const first = bytes[at]!
    const masked = (bytes[at + 1]! & 0x80) !== 0
    let length = bytes[at + 1]! & 0x7f
    let body = at + 2
    if (length === 126) {
      length = bytes.readUInt16BE(body)
      body += 2
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(body))
      body += 8
    }
    const mask = masked ? bytes.subarray(body, body + 4) : undefined
    if (masked) body += 4
    const payload = Buffer.from(bytes.subarray(body, body + length))
    if (mask !== undefined) for (let i = 0; i < payload.length; i++) payload[i]! ^= mask[i & 3]!
    frames.push({ fin: (first & 0x80) !== 0, rsv: (first >> 4) & 7, opcode: first & 15, masked, payload })
    at = body + length
  }
  return frames
}

/** Polls until `condition` returns true. Throws after 2 min. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 120_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never came true: ${condition.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/**
 * Returns the audio of a caller who speaks and then presses a key. While the key is down, the simulator mutes
 * 80 ms.
 */
export function thenKey(pcm: Buffer, sampleRate = 8_000): Buffer {
  return Buffer.concat([pcm, Buffer.alloc((80 * 2 * sampleRate) / 1_000)])
}

/** Returns the L16 samples `from`, `from` + 1, … Each sample tells its position, and none is -1. */
export function ramp(samples: number, from = 1): Buffer {
  const pcm = Buffer.alloc(samples * 2)
  for (let i = 0; i < samples; i++) pcm.writeInt16LE((from + i) % 30_000, i * 2)
  return pcm
}
