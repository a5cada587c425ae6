import type { Socket } from 'node:net'
import type { RawData, WebSocket } from 'ws'
import type { Cancel, Clock } from '../clock.js'
import { deferred } from '../deferred.js'
import { reasonOf, SIM_REQUEST } from '../errors.js'
import type { Network } from '../network.js'
import type { ApplicationSocketRecord, RequestRecord } from '../types.js'
import { invalidMessage, namesHook, newMessageId, readMessage, wantsAck, type Message } from './messages.js'
import { openSocket, type OpeningFailure } from './openSocket.js'
import {
  kindOf,
  urlOf,
  type Credentials,
  type Hook,
  type RequestExtras,
  type Requestor,
  type RequestType,
  type SocketEvents
} from './requestor.js'
import { Backoff, RetryPolicy } from './retries.js'
import { snakeCaseKeys } from './snakeCase.js'
import { Unacknowledged } from './Unacknowledged.js'

const MAX_CONNECTIONS = 5
const LINGER_MS = 1_000
const CLOSED = 'abandoned since the socket is closed'
const NORMAL = 1000
const GOING_AWAY = 1001

export interface WsRequestorOptions extends SocketEvents {
  network: Network
  clock: Clock
  /** Absolute ws(s) url of the application. The fragment of the url is the retry policy. */
  url: string
  credentials: Credentials | undefined
  /** Real ms that the application has to acknowledge a message, whatever the speed of the simulation. */
  ackTimeoutMs: number
  b3: string
}

interface Unsent {
  type: RequestType
  hook: Hook
  params: object
  extra: RequestExtras
}

/**
 * Sends the requests of a call over the application's websocket (feature-server lib/utils/ws-requestor.js). The class
 * opens the socket for the first message, and opens it again when the connection breaks.
 */
export class WsRequestor implements Requestor {
  readonly transport = 'websocket'
  readonly baseUrl: string
  readonly credentials: Credentials | undefined
  readonly #options: WsRequestorOptions
  readonly #url: string
  readonly #policy: RetryPolicy
  readonly #backoff = new Backoff()
  readonly #unacknowledged: Unacknowledged
  #queued: Array<() => void> = []
  #socket: WebSocket | undefined
  #connecting = false
  #connections = 0
  #scheduled: Cancel | undefined
  #finished = false
  #callSid: string | undefined
  #session: object = {}
  // The message id of session:new, or of the session:reconnect that replaced it. Undefined after the ack.
  #firstMessageId: string | undefined
  #awaitingReconnectAck = false

  constructor(options: WsRequestorOptions) {
    const url = new URL(options.url)
    this.#options = options
    this.#policy = new RetryPolicy(url.hash, MAX_CONNECTIONS)
    this.baseUrl = `${url.protocol}//${url.host}`
    this.#url = url.href.slice(0, url.href.length - url.hash.length)
    this.credentials = options.credentials
    this.#unacknowledged = new Unacknowledged(options)
  }

  /** True once either side has closed with 1000. A request then sends nothing, and resolves to undefined. */
  get finished(): boolean {
    return this.#finished
  }

  async request(type: RequestType, hook: Hook, params: object, extra: RequestExtras = {}): Promise<unknown> {
    if (this.#finished) return undefined
    if (type === 'session:new') this.#callSid = (params as { callSid?: string }).callSid
    if (this.#socket === undefined) {
      if (this.#connecting) return await this.#queue({ type, hook, params, extra })
      await this.#connectPatiently(type)
    }
    if (this.#awaitingReconnectAck) return await this.#queue({ type, hook, params, extra })
    return await this.#send({ type, hook, params, extra })
  }

  /**
   * Closes the socket: code 1000 at the end of the call, 1001 for an unusable application. Resolves when both sides
   * closed.
   */
  async close(code: number = NORMAL): Promise<void> {
    this.#finished = true
    this.#scheduled?.()
    const socket = this.#socket
    this.#socket = undefined
    const closed = deferred()
    if (socket === undefined) closed.resolve()
    else {
      socket.close(code)
      const kill = setTimeout(() => socket.terminate(), LINGER_MS)
      socket.once('close', () => {
        clearTimeout(kill)
        closed.resolve()
      })
    }
    this.#unacknowledged.fail(CLOSED)
    this.#sendQueued()
    await closed.promise
  }

  /** Closes the socket with 1001: jambonz could not use the application. */
  async reject(): Promise<void> {
    await this.close(GOING_AWAY)
  }

  /** Leaves the socket open, as jambonz does after a redirect. The open socket does not keep the process alive. */
  abandon(): void {
    this.#scheduled?.()
    const stream = (this.#socket as unknown as { _socket?: Socket } | undefined)?._socket
    stream?.unref()
  }

  /** Breaks the connection without a close frame. */
  drop(): void {
    this.#socket?.terminate()
  }

  async #queue(unsent: Unsent): Promise<unknown> {
    const turn = deferred()
    this.#queued.push(turn.resolve)
    // A message that needs no ack also waits for the messages before it.
    const sent = turn.promise.then(() => this.request(unsent.type, unsent.hook, unsent.params, unsent.extra))
    return await sent
  }

  #sendQueued(): void {
    for (const send of this.#queued.splice(0)) send()
  }

  async #send({ type, hook, params, extra }: Unsent): Promise<unknown> {
    const { clock, b3 } = this.#options
    const data = this.#dataOf(type, params)
    const message: Message = {
      type,
      msgid: newMessageId(),
      call_sid: this.#callSid,
      hook: namesHook(type) ? urlOf(hook) : undefined,
      data,
      ...(kindOf(type) !== 'event' && type !== 'session:reconnect' && { b3 })
    }
    const entry = this.#entryOf(message)
    if (type === 'session:new') this.#firstMessageId = message.msgid
    // If session:new was never acknowledged, the ack of session:reconnect is the answer to session:new.
    if (type === 'session:reconnect' && this.#unacknowledged.replace(this.#firstMessageId, message.msgid)) {
      this.#firstMessageId = message.msgid
      this.#transmit(message, entry)
      this.#sendQueued()
      return undefined
    }
    if (!wantsAck(type)) {
      this.#transmit(message, entry)
      return undefined
    }
    const release = extra.holdsClock === false ? () => {} : clock.hold()
    return await this.#transmitForAck(message, entry).finally(release)
  }

  #dataOf(type: RequestType, params: object): object {
    if (type === 'session:reconnect') return this.#session
    const data = JSON.parse(JSON.stringify(snakeCaseKeys(params))) as object
    if (type === 'session:new') this.#session = data
    return data
  }

  #entryOf({ type, msgid, data }: Message): RequestRecord {
    return {
      kind: kindOf(type),
      transport: 'websocket',
      type,
      msgid,
      method: type,
      url: this.#url,
      headers: {},
      payload: data,
      status: undefined,
      reply: undefined,
      atMs: Math.round(this.#options.clock.now()),
      latencyMs: 0,
      attempt: 1
    }
  }

  #transmit(message: Message, entry: RequestRecord): void {
    this.#socket?.send(JSON.stringify(message), () => {})
    this.#options.record(entry)
  }

  #transmitForAck(message: Message, entry: RequestRecord): Promise<unknown> {
    const acknowledged = this.#unacknowledged.add(message, entry)
    this.#socket?.send(JSON.stringify(message), () => {})
    return acknowledged
  }

  // Opens the socket for a message that waits. Repeats a failed attempt as the retry policy of the url says.
  async #connectPatiently(type: RequestType): Promise<void> {
    this.#connecting = true
    for (let attempt = 1; ; attempt++) {
      const failure = await this.#connect()
      if (failure === undefined || this.#finished) return
      if (!this.#policy.allows(attempt, failure)) {
        this.#connecting = false
        throw new SIM_REQUEST(`${type}: no websocket to ${this.#url}: ${failure.text}`)
      }
      await this.#options.clock.wait(this.#backoff.next())
      if (this.#finished) return
    }
  }

  #connect(): Promise<OpeningFailure | undefined> {
    const { network, clock, credentials } = this.#options
    return openSocket({ network, clock, credentials, url: this.#url }, (socket) => this.#opened(socket))
  }

  #opened(socket: WebSocket): void {
    const { clock, opened, closed } = this.#options
    const record: ApplicationSocketRecord = {
      url: this.#url,
      openedAtMs: Math.round(clock.now()),
      closedAtMs: undefined,
      closeCode: undefined,
      closedBy: undefined
    }
    this.#connecting = false
    this.#connections++
    this.#socket = socket
    socket.on('message', (data: RawData) => this.#received(data))
    socket.on('error', () => {})
    socket.on('close', (code) => {
      record.closedAtMs = Math.round(clock.now())
      record.closeCode = code
      record.closedBy = this.#finished ? 'jambonz' : 'server'
      closed(record)
      this.#closed(socket, code)
    })
    opened(record)
    if (this.#connections > 1) this.#reconnect()
  }

  #reconnect(): void {
    this.#awaitingReconnectAck = this.#firstMessageId === undefined
    this.#send({ type: 'session:reconnect', hook: this.#url, params: {}, extra: {} }).then(
      () => {
        this.#awaitingReconnectAck = false
        this.#sendQueued()
      },
      (error) => {
        this.#awaitingReconnectAck = false
        if (this.#finished) return
        this.#options.error(reasonOf(error))
        this.#options.reconnectFailed(error)
      }
    )
  }

  #closed(socket: WebSocket, code: number): void {
    if (socket !== this.#socket) return
    this.#socket = undefined
    if (code === NORMAL) {
      this.#finished = true
      return this.#sendQueued()
    }
    if (this.#connections >= this.#policy.count) return
    if (this.#firstMessageId === undefined) {
      this.#unacknowledged.fail(CLOSED)
    }
    const { clock } = this.#options
    this.#scheduled = clock.at(clock.now() + this.#backoff.next(), () => this.#reopen())
  }

  #reopen(): void {
    if (this.#socket !== undefined || this.#connecting || this.#finished) return
    this.#connecting = true
    this.#connect().then((failure) => {
      if (failure === undefined) return
      this.#connecting = false
      this.#options.error(`no websocket to ${this.#url}: ${failure.text}`)
      this.#sendQueued()
    })
  }

  #received(data: RawData): void {
    const text = (data as Buffer).toString('utf8')
    try {
      const message = readMessage(text)
      if (message.type === 'command') return this.#options.command(message)
      this.#firstMessageId = undefined
      this.#unacknowledged.acknowledge(message.msgid, message.data)
    } catch (error) {
      this.#options.error(`the application sent what jambonz can't read: ${reasonOf(error)}`)
      this.request('jambonz:error', '/error', invalidMessage(error, text))
    }
  }
}
