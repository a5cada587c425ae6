import { OPCODE, type Frame } from './frames.js'

/**
 * Bytes from which on a fragmented text message is dropped (mod_audio_fork, MAX_RECV_BUF_SIZE). A single frame has no
 * limit.
 */
const MAX_GROWN_TEXT = 665_600
const GROW_BY = 8 * 1024

/**
 * Assembles the server's text messages as the module does. The buffer is as large as the first frame and grows by 8 KB.
 * If it would exceed the limit, its content is dropped, and the rest becomes a message of its own.
 */
export class TextAssembler {
  #parts: Buffer[] = []
  #length = 0
  #capacity = 0

  /** Returns the text once its last frame is there, cut at a NUL as a C string is. */
  add(frame: Frame): string | undefined {
    const { payload } = frame
    if (frame.opcode === OPCODE.text) this.#start(payload.length)
    // After the module dropped a message, it starts with the next frame, whatever that is.
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
 * Parses a message. Returns undefined for one that is no JSON object, which the module ignores. The default type is
 * `json`.
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
