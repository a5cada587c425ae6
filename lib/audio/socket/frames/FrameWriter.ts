import type { WebSocket } from 'ws'
import type { Internals } from './Internals.js'

// RFC 6455, 5.2. Our frames to jambonz are whole and not masked.
const FINAL_BINARY = 0x82
const SHORT = 126
const LENGTH_16 = 126
const SHORT_HEAD_BYTES = 2
const HEAD_BYTES = 4

/**
 * The memory in which the frames of all sockets are built. Each frame is written before the next frame is
 * built.
 */
const FRAME = Buffer.allocUnsafeSlow(65_536)
/** maximum bytes of a message that has room in FRAME; ws sends longer messages */
const MAX_DIRECT = FRAME.length - HEAD_BYTES

/**
 * Sends audio on one websocket. Writes the audio straight to the kernel, since a write through ws, the
 * socket's stream and the event loop costs several times as much. If the kernel has no room, or anything
 * waits in ws, sends the audio through ws.
 */
export class FrameWriter {
  readonly #socket: WebSocket
  readonly #internals: Internals | undefined

  /** `internals`: undefined if ws sends everything */
  constructor(socket: WebSocket, internals: Internals | undefined) {
    this.#socket = socket
    this.#internals = internals
  }

  /** Sends a binary message. `sent` is called when the message has left the process, or never will. */
  send(audio: Buffer, sent?: () => void): void {
    if (sent) this.#socket.send(audio, sent)
    else if (!this.#writeNow(audio)) this.#socket.send(audio)
  }

  // Returns false if nothing was written.
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
