import { Agent, type Server } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import { connect as connectTcp, isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, Server as TlsServer } from 'node:tls'
import { memorySocket } from './memorySocket.js'

export interface Target {
  host: string
  port: number
  tls: boolean
}

/** Connects a call to its application: over TCP, or inside this process. */
export interface Network {
  /**
   * Opens a byte stream to the target. Calls `connected` when the stream is open. The stream emits errors as `error`.
   */
  connect(target: Target, connected: () => void): Duplex
  /** Returns an agent with one connection at a time, as jambonz' http client has for each webhook host. */
  agent(target: Target): Agent
}

/** Connects by real TCP and TLS. Like jambonz, it accepts a self-signed certificate only if an option allows that. */
export class TcpNetwork implements Network {
  readonly #trusting: boolean

  constructor(allowSelfSigned: boolean) {
    this.#trusting = allowSelfSigned
  }

  connect({ host, port, tls }: Target, connected: () => void): Duplex {
    if (!tls) {
      const socket = connectTcp({ host, port, noDelay: true }, connected)
      return socket.setKeepAlive(true, 55_000)
    }
    return connectTls(
      { host, port, servername: isName(host) ? host : '', rejectUnauthorized: !this.#trusting },
      connected
    )
  }

  agent({ tls }: Target): Agent {
    return tls
      ? new TlsAgent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: !this.#trusting })
      : new Agent({ keepAlive: true, maxSockets: 1 })
  }
}

/**
 * Connects directly to a node:http server of this process, such as Fastify's or Express'. The server receives the same
 * bytes as over TCP, but needs no open port. Only requests to `origin` (host and port) reach this server; requests to
 * other targets use TCP.
 */
export class InProcessNetwork implements Network {
  readonly #server: Server
  readonly #origin: Target
  readonly #tcp: TcpNetwork

  constructor(server: Server, origin: Target, tcp: TcpNetwork) {
    this.#server = server
    this.#origin = origin
    this.#tcp = tcp
  }

  connect(target: Target, connected: () => void): Duplex {
    return this.#isInside(target) ? this.#connectServer(connected) : this.#tcp.connect(target, connected)
  }

  agent(target: Target): Agent {
    if (!this.#isInside(target)) return this.#tcp.agent(target)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    return Object.assign(agent, { createConnection: () => this.#connectServer(() => {}) })
  }

  #isInside({ host, port }: Target): boolean {
    return host === this.#origin.host && port === this.#origin.port
  }

  #connectServer(connected: () => void): Duplex {
    const [ours, theirs] = memorySocket()
    this.#server.emit(this.#server instanceof TlsServer ? 'secureConnection' : 'connection', theirs)
    queueMicrotask(connected)
    return ours
  }
}

/** Returns host and port of a url; if the url has no port, the default port of its scheme. */
export function targetOf(url: URL): Target {
  const tls = url.protocol === 'https:' || url.protocol === 'wss:'
  return { host: hostOf(url), port: Number(url.port === '' ? (tls ? 443 : 80) : url.port), tls }
}

/** Returns the host of a url, an IPv6 address without its brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1')
}

function isName(host: string): boolean {
  return isIP(host) === 0
}
