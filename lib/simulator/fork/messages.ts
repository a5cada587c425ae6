import { OPCODE, type Frame } from './frames.js'

/**
 * Bytes from which on the module drops a text message of several frames (mod_audio_fork, MAX_RECV_BUF_SIZE). A message
 * of one frame has no limit.
 */
const MAX_GROWN_TEXT = 665_600
const GROW_BY = 8 * 1024

/**
 * Assembles the server's text messages from their frames, as the module does. Its buffer is as large as the first
 * frame, and grows by 8 KB. If the buffer would exceed the limit, the module drops its content, and reads the remaining
 * frames as a message of their own.
 */
export class TextAssembler {
  #parts: Buffer[] = []
  #length = 0
  #capacity = 0

  /** Returns the text when its last frame has come, cut at a NUL as a C string is. */
  add(frame: Frame): string | undefined {
    const { payload } = frame
    if (frame.opcode === OPCODE.text) this.#start(payload.length)
    // After the module has dropped a message, the next frame begins a new message, even if it is a continuation.
    if (this.#parts.length === 0 && frame.opcode === OPCODE.continuation) this.#start(payload.length)
    if (this.#capacity - this.#length < payload.length) {
      while (this.#capacity - this.#length < payload.length) this.#capacity += GROW_BY
      if (this.#capacity > MAX_GROWN_TEXT) {
        this.#start(0)
        return undefined
      }
    }
    this.#parts.push(payload)
    this.#length += payload.length
    if (!frame.final) return undefined
    const text = Buffer.concat(this.#parts).toString('utf8')
    this.#start(0)
    const nul = text.indexOf('\0')
    return nul === -1 ? text : text.slice(0, nul)
  }

  #start(capacity: number): void {
    this.#parts = []
    this.#length = 0
    this.#capacity = capacity
  }
}

/** A message as the module reads it. */
export interface ServerMessage {
  type: string
  message: Record<string, unknown>
}

/**
 * Parses a message. Returns undefined for a message that is not a JSON object, which the module ignores. A message
 * without a type has the type `json`.
 */
export function parseServerMessage(text: string): ServerMessage | undefined {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof message !== 'object' || message === null) return undefined
  const record = message as Record<string, unknown>
  return { type: typeof record.type === 'string' ? record.type : 'json', message: record }
}
