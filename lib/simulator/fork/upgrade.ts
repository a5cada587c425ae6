import type { Duplex } from 'node:stream'
import type { Cancel, Clock } from '../clock.js'
import type { Network } from '../network.js'
import { splitAddress, type Address } from './address.js'
import {
  judgeAnswer,
  readAnswer,
  redirection,
  upgradeRequest,
  type Answer,
  type Credentials
} from './handshake.js'

/** ms in which the connection must open and the HTTP answer must come, or else the media server gives up. */
const CONNECT_TIMEOUT_MS = 10_000
/** The most bytes of a request. The media server cuts off a longer request, so the server never answers it. */
const MAX_REQUEST = 4_095
const MAX_REDIRECTS = 3
/** The most bytes of a refusal's body that the story shows, and the real ms to wait for that body. */
const MAX_BODY = 2_000
const BODY_PATIENCE_MS = 250

export interface UpgradeEvents {
  /** `protocol`: the subprotocol that the server selected, if any. */
  upgraded: (socket: Duplex, rest: Buffer, protocol: string | undefined) => void
  failed: (failure: UpgradeFailure) => void
}

export interface UpgradeFailure {
  text: string
  status: number | undefined
  /** True if the media server does not report the failure to jambonz. */
  silent: boolean
  /** The body of the server's refusal, which the module ignores. */
  body?: string
  /** The subprotocol that the server selected. */
  protocol?: string | undefined
}

interface UpgradeOptions {
  network: Network
  clock: Clock
  url: string
  credentials?: Credentials | undefined
  key: string
  delayMs: number
  timeoutMs?: number
}

/** One attempt to open an audio socket; jambonz makes only one. */
export class Upgrade {
  readonly #options: UpgradeOptions
  readonly #events: UpgradeEvents
  #socket: Duplex | undefined
  #timeout: Cancel | undefined
  #delay: Cancel | undefined
  #held: Cancel | undefined
  #redirects = 0
  #over = false

  constructor(options: UpgradeOptions, events: UpgradeEvents) {
    this.#options = options
    this.#events = events
    if (options.delayMs > 0) {
      this.#delay = options.clock.at(options.clock.now() + options.delayMs, () => this.#open(options.url))
    } else {
      this.#open(options.url)
    }
  }

  /** Cancels the attempt. No callback is called. */
  cancel(): void {
    this.#over = true
    this.#settle()
    this.#socket?.destroy()
  }

  #open(url: string): void {
    const address = splitAddress(url)
    if (address === undefined) {
      return queueMicrotask(() => this.#fail('error parsing uri: invalid scheme', undefined, true))
    }
    this.#held = this.#options.clock.hold()
    const { clock, timeoutMs = CONNECT_TIMEOUT_MS } = this.#options
    this.#timeout = clock.deadline(timeoutMs, () =>
      this.#fail(connected ? 'Timed out waiting server reply' : 'Unable to connect')
    )
    let connected = false
    const socket = this.#connect(address, () => {
      connected = true
      const request = upgradeRequest(address, this.#options.key, this.#options.credentials)
      socket?.write(request.slice(0, MAX_REQUEST), 'utf8')
    })
    if (socket === undefined) {
      return queueMicrotask(() => this.#fail(`cannot connect to ${url}`, undefined, true))
    }
    this.#socket = socket
    this.#listen(socket, address)
  }

  // Node.js throws for some addresses, such as a port of 99999.
  #connect(address: Address, connected: () => void): Duplex | undefined {
    try {
      return this.#options.network.connect(address, connected)
    } catch {
      return undefined
    }
  }

  #listen(socket: Duplex, address: Address): void {
    let received: Buffer = Buffer.alloc(0)
    const onData = (bytes: Buffer) => {
      received = Buffer.concat([received, bytes])
      const answer = readAnswer(received)
      if (answer === undefined) return
      socket.off('data', onData)
      socket.off('error', onError)
      socket.off('close', onClose)
      if (typeof answer === 'string') {
        return this.#fail(answer === 'garbage' ? 'read failed' : 'problems parsing header')
      }
      this.#answered(socket, answer)
    }
    const onError = (error: NodeJS.ErrnoException) =>
      this.#fail(errorText(error, address), undefined, isDnsError(error))
    const onClose = () => this.#fail('read failed')
    socket.on('data', onData)
    socket.on('error', onError)
    socket.on('close', onClose)
  }

  #answered(socket: Duplex, answer: Answer): void {
    const location = redirection(answer)
    if (location !== undefined && this.#redirects++ < MAX_REDIRECTS) {
      if (location === 'relative') return this.#fail('HS: Redirect failed', answer.status)
      this.#settle()
      socket.on('error', () => {})
      socket.destroy()
      return this.#open(location)
    }
    const refusal = judgeAnswer(answer, this.#options.key)
    const protocol = answer.headers.get('sec-websocket-protocol')
    if (refusal !== undefined) {
      return readBody(socket, answer, (body) =>
        this.#fail(refusal.text, refusal.status, false, { body, protocol })
      )
    }
    this.#over = true
    this.#settle()
    this.#events.upgraded(socket, answer.rest, protocol)
  }

  #fail(
    text: string,
    status?: number,
    silent = false,
    said: Pick<UpgradeFailure, 'body' | 'protocol'> = {}
  ): void {
    if (this.#over) return
    this.#over = true
    this.#settle()
    this.#socket?.on('error', () => {})
    this.#socket?.destroy()
    this.#events.failed({ text, status, silent, ...said })
  }

  #settle(): void {
    this.#delay?.()
    this.#timeout?.()
    this.#held?.()
  }
}

// Reads as much of a refusal's body as arrives in time, for the story.
function readBody(socket: Duplex, answer: Answer, done: (body: string) => void): void {
  const wanted = Math.min(Number(answer.headers.get('content-length') ?? MAX_BODY), MAX_BODY)
  let body = answer.rest
  const finish = () => {
    clearTimeout(timer)
    for (const event of ['end', 'close', 'error']) socket.off(event, finish)
    socket.off('data', onData)
    done(body.toString('utf8', 0, wanted))
  }
  const onData = (bytes: Buffer) => {
    body = Buffer.concat([body, bytes])
    if (body.length >= wanted) finish()
  }
  const timer = setTimeout(finish, BODY_PATIENCE_MS)
  for (const event of ['end', 'close', 'error']) socket.on(event, finish)
  socket.on('data', onData)
  if (answer.status === 101 || body.length >= wanted) finish()
}

function isDnsError(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN'
}

function errorText(error: NodeJS.ErrnoException, address: Address): string {
  if (error.code === 'ECONNREFUSED') return `conn fail: 111 (${address.host}:${address.port} refused)`
  if (isDnsError(error)) return `dns failed: ${address.host}`
  return `read failed (${error.code ?? error.message})`
}
