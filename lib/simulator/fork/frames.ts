import { randomFillSync } from 'node:crypto'

/** Opcodes of RFC 6455. */
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** One websocket frame of the server. */
export interface Frame {
  opcode: number
  final: boolean
  payload: Buffer
  masked: boolean
}

/** A protocol error of the server over which libwebsockets drops the TCP connection. */
export class FrameError extends Error {}

const FINAL = 0x80
const RESERVED = 0x70
const MASKED = 0x80
const LENGTH_16 = 126
const LENGTH_64 = 127
const MAX_CONTROL = 125

const masks = Buffer.alloc(4 * 256)
let nextMask = masks.length

/**
 * Returns a frame of the client: FIN set, masked, not fragmented, no reserved bit, as libwebsockets in mod_audio_fork
 * sends it. The payload is copied.
 */
export function encodeFrame(opcode: number, payload: Uint8Array): Buffer {
  const length = payload.length
  const header = length < LENGTH_16 ? 6 : length < 0x10000 ? 8 : 14
  const frame = Buffer.allocUnsafe(header + length)
  frame[0] = FINAL | opcode
  if (header === 6) {
    frame[1] = MASKED | length
  } else if (header === 8) {
    frame[1] = MASKED | LENGTH_16
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = MASKED | LENGTH_64
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
  if (nextMask === masks.length) {
    randomFillSync(masks)
    nextMask = 0
  }
  const mask = masks.copy(frame, header - 4, nextMask, nextMask + 4)
  nextMask += mask
  for (let i = 0; i < length; i++) frame[header + i] = payload[i]! ^ frame[header - 4 + (i & 3)]!
  return frame
}

/** Returns the payload of a close frame: code and reason. */
export function closePayload(code: number, reason: Uint8Array = Buffer.alloc(0)): Buffer {
  const payload = Buffer.allocUnsafe(2 + reason.length)
  payload.writeUInt16BE(code, 0)
  payload.set(reason, 2)
  return payload
}

/**
 * Cuts a byte stream into the server's frames. Throws FrameError for a frame over which libwebsockets drops the
 * connection.
 */
export class FrameDecoder {
  #pending: Buffer = Buffer.alloc(0)
  #inMessage = false

  push(bytes: Buffer): void {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
  }

  /** Returns the next whole frame; undefined until more bytes come. */
  next(): Frame | undefined {
    const buffer = this.#pending
    if (buffer.length < 2) return undefined
    const opcode = buffer[0]! & 0x0f
    const final = (buffer[0]! & FINAL) !== 0
    const masked = (buffer[1]! & MASKED) !== 0
    let length = buffer[1]! & 0x7f
    this.#check(buffer[0]!, opcode, length)
    let at = 2
    if (length === LENGTH_16) {
      if (buffer.length < 4) return undefined
      length = buffer.readUInt16BE(2)
      at = 4
    } else if (length === LENGTH_64) {
      if (buffer.length < 10) return undefined
      length = Number(buffer.readBigUInt64BE(2))
      at = 10
    }
    const body = at + (masked ? 4 : 0)
    if (buffer.length < body + length) return undefined
    let payload = buffer.subarray(body, body + length)
    if (masked) payload = unmask(payload, buffer.subarray(at, body))
    this.#pending = buffer.subarray(body + length)
    if (opcode < OPCODE.close) this.#inMessage = !final
    return { opcode, final, payload, masked }
  }

  #check(first: number, opcode: number, length: number): void {
    if ((first & RESERVED) !== 0) throw new FrameError('a reserved bit is set')
    if (opcode > OPCODE.pong || (opcode > OPCODE.binary && opcode < OPCODE.close)) {
      throw new FrameError(`reserved opcode ${opcode}`)
    }
    if (opcode >= OPCODE.close && length > MAX_CONTROL) {
      throw new FrameError('a control frame of more than 125 bytes')
    }
    if (opcode === OPCODE.continuation && !this.#inMessage) {
      throw new FrameError('a continuation of no message')
    }
    if ((opcode === OPCODE.text || opcode === OPCODE.binary) && this.#inMessage) {
      throw new FrameError('a new message inside a message')
    }
  }
}

function unmask(payload: Buffer, mask: Buffer): Buffer {
  const plain = Buffer.allocUnsafe(payload.length)
  for (let i = 0; i < payload.length; i++) plain[i] = payload[i]! ^ mask[i & 3]!
  return plain
}
