import type { EventEmitter } from 'node:events'
import type { Test } from 'tap'
import { WebSocket, type ClientOptions } from 'ws'
import { until } from './until.js'

export interface Sent {
  type: string
  msgid?: string
  command?: string
  queueCommand?: boolean
  data?: unknown
}

/** jambonz' side of an application websocket. It sends only the messages that a test makes it send. */
export class JambonzSocket {
  /** messages that the application sent */
  readonly sent: Sent[] = []
  code: number | undefined
  readonly #socket: WebSocket
  #count = 0

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data) => this.sent.push(JSON.parse(String(data)) as Sent))
    socket.on('close', (code) => {
      this.code = code
    })
    socket.on('error', () => {})
  }

  /** Opens a websocket. Rejects with the HTTP status if the application refuses the upgrade. */
  static async open(
    t: Test,
    url: string,
    options: ClientOptions & { auth?: string; autoPong?: boolean } = {}
  ): Promise<JambonzSocket> {
    const socket = new WebSocket(url.replace(/^http/, 'ws'), ['ws.jambonz.org'], {
      headers: { 'user-agent': 'jambonz' },
      ...options
    })
    t.teardown(() => socket.terminate())
    const opened = new JambonzSocket(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('unexpected-response', (_request, { statusCode }) => reject(new Error(String(statusCode))))
      socket.once('error', reject)
    })
    return opened
  }

  get extensions(): string {
    return this.#socket.extensions
  }

  get protocol(): string {
    return this.#socket.protocol
  }

  /** Sends a message and returns its msgid. */
  send(
    type: string,
    data: object,
    { callSid = 'call-1', hook }: { callSid?: string | null; hook?: string } = {}
  ): string {
    const msgid = `message-${++this.#count}`
    this.#socket.send(
      JSON.stringify({
        type,
        msgid,
        ...(callSid !== null && { call_sid: callSid }),
        ...(hook !== undefined && { hook }),
        data: { call_sid: callSid ?? 'call-1', account_sid: 'acc', direction: 'inbound', ...data }
      })
    )
    return msgid
  }

  /** Sends a text unchanged, such as a text that is not a message of jambonz. */
  sendText(text: string): void {
    this.#socket.send(text)
  }

  /** Sends a message. Resolves to the data of the ack. */
  async ask(
    type: string,
    data: object = {},
    options: { callSid?: string | null; hook?: string } = {}
  ): Promise<unknown> {
    const msgid = this.send(type, data, options)
    return (await until(() => this.ackOf(msgid), `the ack of ${type}`)).data
  }

  ackOf(msgid: string): Sent | undefined {
    return this.sent.find((sent) => sent.type === 'ack' && sent.msgid === msgid)
  }

  /** Calls `listener` with each message of the application, in the turn in which it comes. */
  onSent(listener: (sent: Sent) => void): void {
    this.#socket.on('message', (data) => listener(JSON.parse(String(data)) as Sent))
  }

  /** Calls `listener` each time this side has answered a ping. */
  onPing(listener: () => void): void {
    this.#socket.on('ping', listener)
  }

  /** Calls `listener` when the application has sent a close frame, before this side answers it. */
  onClosing(listener: () => void): void {
    const { _receiver: receiver } = this.#socket as unknown as { _receiver: EventEmitter }
    receiver.prependOnceListener('conclude', listener)
  }

  get commands(): Sent[] {
    return this.sent.filter(({ type }) => type === 'command')
  }

  close(code?: number): void {
    this.#socket.close(code)
  }

  drop(): void {
    this.#socket.terminate()
  }
}
