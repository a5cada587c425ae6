import type { WebSocket } from 'ws'
import type { EndReason, Listen } from '../../model/schema.js'
import { writeCommand } from './messages.js'
import type { StreamEnd } from './types.js'

// us -> jambonz: close codes. jambonz echoes them, and ignores their meaning (mod_audio_fork).
export const CLOSE = { normal: 1000, badStart: 1008, tooBig: 1009, ourFault: 1011 } as const
export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE]
/** The code that ws reports for a connection that ended without a close frame. */
const CLOSED_ABNORMALLY = 1006

/** Maximum bytes of the reason in a close frame (RFC 6455, 5.5). ws throws a RangeError for more. */
const MAX_REASON_BYTES = 123
const CONTINUATION_MASK = 0xc0
const CONTINUATION = 0x80

/** Closes a websocket. A reason that is too long for a close frame is cut. */
export function closeSocket(socket: Pick<WebSocket, 'close'>, code: CloseCode, reason = ''): void {
  socket.close(code, closeReason(reason))
}

/** Returns the longest beginning of `reason` that fits into a close frame, cut between two characters. */
export function closeReason(reason: string): Buffer {
  const bytes = Buffer.from(reason)
  if (bytes.length <= MAX_REASON_BYTES) return bytes
  let end = MAX_REASON_BYTES
  while (((bytes[end] ?? 0) & CONTINUATION_MASK) === CONTINUATION) end--
  return bytes.subarray(0, end)
}

/** ms that jambonz has for each step of closing before the next, stronger step. */
const CLOSE_PATIENCE = 2_000

/** The owner of a socket that we end. */
export interface SocketEndUser {
  /** Called once when we begin to end the listen, in whichever way. */
  begun(): void
  /** Called once before we send the first message that ends the socket. */
  ending(reason: EndReason): void
  /**
   * Asks jambonz to end the listen by other means than its socket, so that the call's other listens go on. Resolves to
   * false if jambonz was not asked. Never rejects. Returns undefined if there are no such means.
   */
  endAlone(reason: EndReason): Promise<boolean> | undefined
}

/**
 * Ends a listen in steps: asks jambonz to end only this listen, asks over the socket, closes the socket, cuts
 * the connection. After each step, jambonz has 2 s. The first reason for the end is kept.
 */
export class SocketEnd {
  /** Resolves when the socket has closed. Never rejects. */
  readonly done: Promise<StreamEnd>
  readonly #socket: WebSocket
  readonly #user: SocketEndUser
  #reason: EndReason | undefined
  #error: Error | undefined
  #timer: NodeJS.Timeout | undefined
  // True once a message that ends the socket was sent, or the socket has closed.
  #ends = false
  #settle!: (end: StreamEnd) => void

  constructor(socket: WebSocket, user: SocketEndUser) {
    this.#socket = socket
    this.#user = user
    this.done = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  /**
   * Asks jambonz to end the listen, so that it calls the actionHook. Closes after 2 s, cuts the connection 2 s later.
   */
  ask(reason: EndReason): void {
    if (!this.#begin(reason)) return
    this.#aloneOr(reason, () => {
      this.#socket.send(writeCommand({ type: 'disconnect' }))
      this.#timer = setTimeout(() => this.#close(CLOSE.normal, ''), CLOSE_PATIENCE)
    })
  }

  /** Asks jambonz to end only this listen. If jambonz can't be asked, closes the socket. */
  askOrClose(reason: EndReason, code: CloseCode, text: string, error?: Error): void {
    this.#error ??= error
    if (this.#begin(reason)) this.#aloneOr(reason, () => this.#close(code, text))
  }

  /** Closes the socket. Cuts the connection 2 s later. */
  close(reason: EndReason, code: CloseCode, text: string, error?: Error): void {
    this.#error ??= error
    if (this.#begin(reason)) this.#end(reason, () => this.#close(code, text))
  }

  /** Ends the socket without a close handshake, since the connection is dead. */
  lost(): void {
    if (this.#begin('lost')) this.#end('lost', () => {})
    this.#socket.terminate()
  }

  /** Notes an error of ws, which closes the connection itself. */
  broken(error: Error): void {
    this.#error ??= error
    if (this.#begin('error')) this.#end('error', () => this.#terminateLater())
  }

  /**
   * Resolves `done`. Returns why the socket closed: our own reason or, if we did not end it, jambonz' likely
   * reason.
   */
  closed(circumstances: Circumstances): EndReason {
    clearTimeout(this.#timer)
    this.#ends = true
    this.#reason ??= endReasonOf(circumstances)
    const { closeCode } = circumstances
    this.#settle({ reason: this.#reason, closeCode, ...(this.#error && { error: this.#error }) })
    return this.#reason
  }

  // Returns false if the end has begun already, since only the first reason counts.
  #begin(reason: EndReason): boolean {
    if (this.#reason !== undefined) return false
    this.#reason = reason
    this.#user.begun()
    return true
  }

  /**
   * Asks jambonz to end only this listen. Runs `end` if jambonz can't be asked, or if the socket is still
   * open after 2 s.
   */
  #aloneOr(reason: EndReason, end: () => void): void {
    const asked = this.#user.endAlone(reason)
    if (asked === undefined) return this.#end(reason, end)
    this.#timer = setTimeout(() => this.#end(reason, end), CLOSE_PATIENCE)
    asked.then((isAsked) => {
      if (!isAsked) this.#end(reason, end)
    })
  }

  #end(reason: EndReason, end: () => void): void {
    if (this.#ends) return
    this.#ends = true
    clearTimeout(this.#timer)
    this.#user.ending(reason)
    end()
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

/**
 * ms that may pass between a key and the close it causes, and by which our clock and jambonz' clock may
 * differ about maxLength.
 */
const TOLERANCE = 500

export interface Circumstances {
  closeCode: number
  listen: Listen | undefined
  /** ms of audio that arrived, gaps included, or ms since the start, whichever is more */
  lengthMs: number
  /** the last key, and how long before the close it came, ms */
  key?: { digit: string; agoMs: number }
}

/**
 * Returns the likely reason for which jambonz closed the socket. jambonz does not tell the reason. Its close
 * frame has code 1000 and no text, whether the caller hung up, `maxLength` ran out or a key was pressed
 * (mod_audio_fork; feature-server lib/tasks/listen.js).
 */
function endReasonOf({ closeCode, listen, lengthMs, key }: Circumstances): EndReason {
  if (closeCode === CLOSED_ABNORMALLY) return 'lost'
  if (key !== undefined && key.digit === listen?.finishOnKey && key.agoMs <= TOLERANCE) return 'finishOnKey'
  if (
    listen?.maxLength !== undefined &&
    listen.maxLength > 0 &&
    lengthMs >= listen.maxLength * 1000 - TOLERANCE
  ) {
    return 'maxLength'
  }
  return 'closed'
}
