import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** A TCP proxy that delays the answers of a server, as a network would. */
export class DelayProxy {
  /**
   * number of round trips so far: a round trip begins with the first data from the client, or the first after
   * an answer
   */
  roundTrips = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /**
   * Starts a proxy for the server on the port `target`. Resolves when the proxy listens. `ms`: duration of a
   * round trip.
   */
  static async listen(target: number, ms: number): Promise<DelayProxy> {
    const server = createServer()
    const proxy = new DelayProxy(server)
    server.on('connection', (client) => proxy.#forward(client, target, ms))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return proxy
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #forward(client: Socket, target: number, ms: number): void {
    const server = connect({ port: target, host: '127.0.0.1', noDelay: true })
    client.setNoDelay(true)
    let isAnswered = true
    client.on('data', (data) => {
      if (isAnswered) this.roundTrips++
      isAnswered = false
      server.write(data)
    })
    server.on('data', (data) => {
      setTimeout(() => {
        isAnswered = true
        client.write(data)
      }, ms)
    })
    for (const [socket, other] of [
      [client, server],
      [server, client]
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
  }
}
