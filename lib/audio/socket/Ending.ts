import type { WebSocket } from 'ws'
import type { EndReason } from '../../model/schema.js'
import { writeCommand } from './messages.js'
import type { StreamEnd } from './types.js'
import { CLOSE_NORMAL, CLOSE_PATIENCE } from './wire.js'

/**
 * The end of a socket: asked for once, whoever asks first names the reason, and certain within a bounded time.
 */
export class Ending {
  /** Settles once, never rejects. */
  readonly done: Promise<StreamEnd>
  readonly #socket: WebSocket
  readonly #onAsked: () => void
  #reason: EndReason | undefined
  #error: Error | undefined
  #settle!: (end: StreamEnd) => void
  #timer: NodeJS.Timeout | undefined

  /** `onAsked` is told once that the end is near: from then on the socket must be read. */
  constructor(socket: WebSocket, onAsked: () => void) {
    this.#socket = socket
    this.#onAsked = onAsked
    this.done = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  /** true from the moment somebody asked for the end. */
  get asked(): boolean {
    return this.#reason !== undefined
  }

  /** Asks jambonz to end the listen, so that it calls the actionHook; after 2 s we close, 2 s later we hang up. */
  stop(reason: EndReason): Promise<StreamEnd> {
    if (this.#ask(reason)) {
      this.#socket.send(writeCommand({ type: 'disconnect' }))
      this.#timer = setTimeout(() => this.#close(CLOSE_NORMAL, ''), CLOSE_PATIENCE)
    }
    return this.done
  }

  /** Closes from our side. */
  stopNow(reason: EndReason, closeCode: number, text: string, error?: Error): void {
    this.#error ??= error
    if (this.#ask(reason)) this.#close(closeCode, text)
  }

  /** The connection is dead: nothing of it is waited for. */
  abandon(reason: EndReason, error?: Error): void {
    this.#error ??= error
    this.#ask(reason)
    this.#socket.terminate()
  }

  /** ws has closed the connection itself, over something that came on it. */
  broken(error: Error): void {
    this.#error ??= error
    if (this.#ask('error')) this.#terminateLater()
  }

  /** The socket has closed and its last frame is delivered. Returns the reason that counts: the first one given. */
  closed(closeCode: number, reason: EndReason): EndReason {
    clearTimeout(this.#timer)
    this.#reason ??= reason
    this.#settle({ reason: this.#reason, closeCode, ...(this.#error && { error: this.#error }) })
    return this.#reason
  }

  #ask(reason: EndReason): boolean {
    if (this.#reason !== undefined) return false
    this.#reason = reason
    this.#onAsked()
    return true
  }

  #close(code: number, text: string): void {
    this.#socket.close(code, text)
    this.#terminateLater()
  }

  #terminateLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#socket.terminate(), CLOSE_PATIENCE)
  }
}
