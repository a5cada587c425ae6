import type { WebSocket } from 'ws'
import type { Internals } from './Internals.js'

// RFC 6455, 5.2. us -> jambonz: whole and not masked.
const FINAL_BINARY = 0x82
const SHORT = 126
const LENGTH_16 = 126
const SHORT_HEAD_BYTES = 2
const HEAD_BYTES = 4

/** The memory that frames of all sockets are put together in: each has left it when the next one comes. */
const FRAME = Buffer.allocUnsafeSlow(65_536)
/** bytes of a message that is written directly */
const MAX_DIRECT = FRAME.length - HEAD_BYTES

/**
 * Sends messages on one websocket. Audio for which the kernel has room is written to it at once: the way through ws and
 * the socket's stream, with a request that the event loop has to answer, costs several times as much. Everything else
 * goes through ws, and so does audio behind anything that waits there.
 */
export class FrameWriter {
  readonly #socket: WebSocket
  readonly #internals: Internals | undefined

  /** `internals`: undefined where ws sends everything */
  constructor(socket: WebSocket, internals: Internals | undefined) {
    this.#socket = socket
    this.#internals = internals
  }

  /** Sends a binary message. `sent` is called when it has left the process, or never will. */
  send(audio: Buffer, sent?: () => void): void {
    if (sent) this.#socket.send(audio, sent)
    else if (!this.#writeNow(audio)) this.#socket.send(audio)
  }

  // Returns false where nothing of it was written.
  #writeNow(audio: Buffer): boolean {
    const socket = this.#socket
    const { length } = audio
    if (this.#internals === undefined || length > MAX_DIRECT) return false
    if (socket.readyState !== socket.OPEN || socket.bufferedAmount > 0) return false
    const head = length < SHORT ? SHORT_HEAD_BYTES : HEAD_BYTES
    FRAME[0] = FINAL_BINARY
    if (length < SHORT) FRAME[1] = length
    else {
      FRAME[1] = LENGTH_16
      FRAME[2] = length >>> 8
      FRAME[3] = length
    }
    FRAME.set(audio, head)
    return this.#internals.write(FRAME, head + length)
  }
}
