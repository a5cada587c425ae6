import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { WebSocket, WebSocketServer } from 'ws'

const UNAVAILABLE = 'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

/** Name of the listener with which @fastify/websocket dispatches upgrades. */
const HOST_LISTENER = 'onUpgrade'

/** A socket with the property in which Node keeps the response that is being written. */
type UpgradeSocket = Duplex & { _httpMessage?: ServerResponse | null }

type OnUpgrade = (request: IncomingMessage, socket: UpgradeSocket, head: Buffer) => void

/** The pending upgrades, by request. */
const pending = new WeakMap<IncomingMessage, { socket: UpgradeSocket; head: Buffer; requestedAt: number }>()
const servers = new WeakMap<Server, ServerUpgrades>()

/**
 * Registers @fastify/websocket in the scope, with its own defaults, unless the application has done so. Each scope of
 * an application may register it, but a server's upgrades must be dispatched only once. `acceptUpgrade()` opens the
 * sockets of this plugin, with their own settings.
 */
export async function registerWebsocket(fastify: FastifyInstance): Promise<void> {
  const known = servers.get(fastify.server)
  const upgrades = known ?? new ServerUpgrades(fastify.server)
  servers.set(fastify.server, upgrades)
  if (!fastify.hasDecorator('websocketServer')) {
    await fastify.register(websocket, { options: { server: upgrades.door as Server } })
  }
}

/** Returns true for a request that asks for a websocket. */
export function isUpgrade({ raw }: Pick<FastifyRequest, 'raw'>): boolean {
  return pending.has(raw)
}

/**
 * Returns true if the server has a listener for upgrades besides those of this plugin and of @fastify/websocket. Such a
 * listener gets every upgrade, and some end each upgrade that is not theirs, such as a WebSocketServer of ws.
 */
export function hasOtherUpgradeListener(server: Server): boolean {
  return servers.get(server)?.hasOtherListener === true
}

/**
 * Opens the websocket that a request asks for, and hijacks the reply from Fastify. Calls `onSocket` in the
 * same turn, with the time at which the request arrived, ms of `performance.now()`. The request must not have
 * been answered yet, so this function is called in the last hook before the handler.
 */
export function acceptUpgrade(
  server: WebSocketServer,
  request: FastifyRequest,
  reply: FastifyReply,
  onSocket: (socket: WebSocket, requestedAt: number) => void
): void {
  const upgrade = pending.get(request.raw)
  if (upgrade === undefined) return
  reply.hijack()
  release(upgrade.socket, reply.raw)
  server.handleUpgrade(request.raw, upgrade.socket, upgrade.head, (socket) =>
    onSocket(socket, upgrade.requestedAt)
  )
}

/** Frees a socket from its response, which would keep the request and its reply in memory until the socket closes. */
function release(socket: UpgradeSocket, response: ServerResponse): void {
  const isAwaited = response.listenerCount('close') > 0
  if (socket._httpMessage === response && !isAwaited) response.detachSocket(socket as Socket)
}

/** The upgrades of one HTTP server, for all its scopes that have registered @fastify/websocket. */
class ServerUpgrades {
  /**
   * the object that each @fastify/websocket of this plugin gets as its server; its first listener dispatches all
   * upgrades
   */
  readonly door: EventEmitter
  readonly #server: Server
  readonly #own: readonly OnUpgrade[]

  constructor(server: Server) {
    this.#server = server
    this.door = new Door(server)
    const keep: OnUpgrade = (request, socket, head) => {
      pending.set(request, { socket, head, requestedAt: performance.now() })
    }
    const dispatch: OnUpgrade = (request, socket, head) => {
      this.#dispatch(request, socket, head)
      // The refusal waits a tick, since listeners that were added later may still answer.
      process.nextTick(() => this.#endRefused(socket))
    }
    server.prependListener('upgrade', keep)
    server.on('upgrade', dispatch)
    this.#own = [keep, dispatch]
  }

  get hasOtherListener(): boolean {
    const listeners = this.#server.listeners('upgrade') as OnUpgrade[]
    return listeners.some((listener) => !this.#own.includes(listener) && listener.name !== HOST_LISTENER)
  }

  /**
   * Dispatches an upgrade. If the application has registered @fastify/websocket itself, that registration
   * dispatches it.
   */
  #dispatch(request: IncomingMessage, socket: UpgradeSocket, head: Buffer): void {
    const [ours] = this.door.listeners('upgrade') as OnUpgrade[]
    if (!this.#isDispatchedByHost) ours?.(request, socket, head)
  }

  get #isDispatchedByHost(): boolean {
    return this.#server.listeners('upgrade').some(({ name }) => name === HOST_LISTENER)
  }

  /**
   * Ends the socket of an upgrade that was refused. The hooks of @fastify/websocket end such a socket, but do
   * not run if an earlier hook of the application refused the request, or if the url can't be decoded. The
   * socket would then stay open and unread, and `fastify.close()` would wait for it. While the server closes,
   * @fastify/websocket does not listen any more, so the answer is 503.
   */
  #endRefused(socket: UpgradeSocket): void {
    const answer = socket._httpMessage
    if (answer) {
      if (answer.writableFinished) socket.destroy()
      else answer.once('finish', () => socket.destroy())
    } else if (!this.#isDispatchedByHost && this.door.listenerCount('upgrade') === 0) {
      socket.end(UNAVAILABLE, () => socket.destroy())
    }
  }
}

/**
 * A substitute for a server. It keeps listeners itself, but emits upgrades on the server, since `injectWS()`
 * needs this.
 */
class Door extends EventEmitter {
  readonly #server: Server

  constructor(server: Server) {
    super()
    this.#server = server
  }

  override emit(name: string | symbol, ...args: unknown[]): boolean {
    return name === 'upgrade' ? this.#server.emit(name, ...args) : super.emit(name, ...args)
  }
}
