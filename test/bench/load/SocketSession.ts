import { once } from 'node:events'
import { WebSocket } from 'ws'

const SUBPROTOCOL = 'ws.jambonz.org'
/** close code that jambonz sends when a call has ended */
const OVER = 1000
/** ms to wait for an ack; jambonz itself waits less, but here the machine is busy */
const ACK_TIMEOUT = 60_000

interface Ack {
  type: string
  msgid?: string
  data?: unknown
}

/** jambonz' side of an application websocket, as in feature-server lib/utils/ws-requestor.js. */
export class SocketSession {
  readonly #socket: WebSocket
  readonly #callSid: string
  readonly #waiting = new Map<string, { resolve: (data: unknown) => void; reject: (error: Error) => void }>()
  #messages = 0

  private constructor(socket: WebSocket, callSid: string) {
    this.#socket = socket
    this.#callSid = callSid
    socket.on('message', (data) => this.#received(JSON.parse(String(data)) as Ack))
    socket.on('close', (code) => this.#fail(new Error(`the server closed the socket with ${code}`)))
    socket.on('error', (err) => this.#fail(err))
  }

  /** Resolves when the socket is open; rejects if the upgrade is refused. */
  static async open(port: number, path: string, callSid: string): Promise<SocketSession> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, SUBPROTOCOL, {
      headers: { 'user-agent': 'jambonz' },
      followRedirects: true,
      maxRedirects: 2
    })
    await once(socket, 'open')
    return new SocketSession(socket, callSid)
  }

  /** Sends a message that needs an ack. Resolves to the data of the ack. */
  async ask(type: string, data: object, hook?: string): Promise<unknown> {
    const msgid = this.send(type, data, hook)
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<unknown>((resolve, reject) => {
        this.#waiting.set(msgid, { resolve, reject })
        timer = setTimeout(() => reject(new Error(`${type} was not acknowledged in time`)), ACK_TIMEOUT)
      })
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(msgid)
    }
  }

  /** Sends a message. Returns its id. */
  send(type: string, data: object, hook?: string): string {
    const msgid = `${this.#callSid.slice(-12)}-${++this.#messages}`
    const message = { type, msgid, call_sid: this.#callSid, ...(hook !== undefined && { hook }), data }
    this.#socket.send(JSON.stringify(message))
    return msgid
  }

  /** Ends the call. Resolves when the server has closed the socket too. */
  async close(): Promise<void> {
    const closed = once(this.#socket, 'close')
    this.#socket.close(OVER)
    await closed
  }

  #received({ type, msgid = '', data }: Ack): void {
    if (type === 'ack') this.#waiting.get(msgid)?.resolve(data)
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
  }
}
