import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'

const UNAVAILABLE = 503

/**
 * A plain load balancer. It sends each request and each socket to the next instance, even if another instance
 * has the call. If an instance refuses the connection, breaks it before the answer, or answers with 503, it
 * tries the next instance (as nginx does with proxy_next_upstream error http_503). It does not check if
 * instances are ready.
 */
export class RoundRobin {
  /** ports of the instances on this machine; may change at any time */
  readonly ports: number[] = []
  /**
   * called with the url and body of each request or socket, and the port to which it was sent; the body of a
   * socket is empty
   */
  onRouted?: (url: string, port: number, body: Buffer) => void
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #next = 0

  constructor() {
    this.#server = createServer((request, response) => {
      this.#forward(request, response)
    })
    this.#server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#tunnel(request, socket, head)
    )
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  /** Starts to listen. Resolves to the address, without a slash at the end. */
  async listen(port = 0): Promise<string> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** Returns all ports, in the order in which to try them. */
  #candidates(): number[] {
    const at = this.#next++
    return this.ports.map((_, i) => this.ports[(at + i) % this.ports.length] ?? 0)
  }

  async #forward(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body: Buffer[] = []
    try {
      for await (const chunk of incoming) body.push(chunk as Buffer)
    } catch {
      return
    }
    for (const port of this.#candidates()) {
      const answer = await ask(port, incoming, Buffer.concat(body)).catch(() => undefined)
      if (answer === undefined || answer.statusCode === UNAVAILABLE) {
        answer?.resume()
        continue
      }
      this.onRouted?.(incoming.url ?? '', port, Buffer.concat(body))
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
      answer.on('error', () => response.destroy())
      return
    }
    response.writeHead(502).end()
  }

  #tunnel(incoming: IncomingMessage, socket: Socket, head: Buffer, candidates = this.#candidates()): void {
    const [port, ...rest] = candidates
    if (port === undefined) {
      socket.end('HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n')
      return
    }
    const upstream = connect({ port, host: '127.0.0.1', noDelay: true })
    const passOver = () => this.#tunnel(incoming, socket, head, rest)
    upstream.once('error', passOver)
    upstream.once('connect', () => {
      upstream.off('error', passOver)
      this.onRouted?.(incoming.url ?? '', port, head)
      const headers = pairs(incoming.rawHeaders)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')
      upstream.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${headers}\r\n`)
      upstream.write(head)
      upstream.pipe(socket).pipe(upstream)
      socket.on('error', () => upstream.destroy())
      socket.on('close', () => upstream.destroy())
      upstream.on('error', () => socket.destroy())
      upstream.on('close', () => socket.destroy())
    })
  }
}

async function ask(
  port: number,
  { method, url, headers }: IncomingMessage,
  body: Buffer
): Promise<IncomingMessage> {
  const outgoing = request({
    port,
    host: '127.0.0.1',
    method,
    path: url,
    headers: { ...headers, connection: 'close' },
    agent: false
  })
  outgoing.end(body)
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  return answer
}

function pairs(raw: readonly string[]): Array<[string, string]> {
  return raw.flatMap((name, i): Array<[string, string]> => (i % 2 === 0 ? [[name, raw[i + 1] ?? '']] : []))
}
