import type { WebSocket } from 'ws'
import type { EndReason } from '../../model/schema.js'
import { CLOSE_NORMAL, closeSocket, type CloseCode } from './closing.js'
import { writeCommand } from './messages.js'
import type { StreamEnd } from './types.js'
import { CLOSE_PATIENCE } from './wire.js'

/**
 * The end of a listen's socket: keeps the first reason that is given, closes in steps, and settles once. jambonz has
 * 2 s for each step, before the next stronger one.
 */
export class SocketEnd {
  /** Settles once, never rejects, when the socket has closed. */
  readonly done: Promise<StreamEnd>
  readonly #socket: WebSocket
  readonly #onBegin: (reason: EndReason) => void
  #reason: EndReason | undefined
  #error: Error | undefined
  #timer: NodeJS.Timeout | undefined
  #settle!: (end: StreamEnd) => void

  /** `onBegin`: called once where we end the socket, before anything is sent. */
  constructor(socket: WebSocket, onBegin: (reason: EndReason) => void) {
    this.#socket = socket
    this.#onBegin = onBegin
    this.done = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  /** Asks jambonz to end the listen, so that it calls the actionHook; after 2 s we close, 2 s later we hang up. */
  ask(reason: EndReason): void {
    if (!this.#begin(reason)) return
    this.#socket.send(writeCommand({ type: 'disconnect' }))
    this.#timer = setTimeout(() => this.#close(CLOSE_NORMAL, ''), CLOSE_PATIENCE)
  }

  /** Closes from our side. */
  close(reason: EndReason, code: CloseCode, text: string, error?: Error): void {
    this.#error ??= error
    if (this.#begin(reason)) this.#close(code, text)
  }

  /** Hangs up: the connection is dead, nothing of it is waited for. */
  lost(): void {
    this.#begin('lost')
    this.#socket.terminate()
  }

  /** Notes that ws itself closes the connection, over something that came on it. */
  broken(error: Error): void {
    this.#error ??= error
    if (this.#begin('error')) this.#terminateLater()
  }

  /** Settles `done`. `reason`: why jambonz closed, where we did not end the socket. Returns the reason that counts. */
  closed(closeCode: number, reason: () => EndReason): EndReason {
    clearTimeout(this.#timer)
    this.#reason ??= reason()
    this.#settle({ reason: this.#reason, closeCode, ...(this.#error && { error: this.#error }) })
    return this.#reason
  }

  // The first reason counts.
  #begin(reason: EndReason): boolean {
    if (this.#reason !== undefined) return false
    this.#reason = reason
    this.#onBegin(reason)
    return true
  }

  #close(code: CloseCode, text: string): void {
    closeSocket(this.#socket, code, text)
    this.#terminateLater()
  }

  #terminateLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#socket.terminate(), CLOSE_PATIENCE)
  }
}
