import { randomFillSync } from 'node:crypto'

// Frames as mod_audio_fork sends them: masked, unfragmented, each with 20 ms of L16 mono at 8 kHz. All calls
// share a ring of frames that is created once. Each call starts at another place in the ring, and its first
// frame contains its number, so that no two recordings are equal.

export const FRAME_MS = 20
export const FRAMES_PER_SECOND = 1000 / FRAME_MS
/** bytes of audio in a frame */
export const FRAME_BYTES = 320
/**
 * Number of frames in the ring. It is a prime number, so that the ring never aligns with blocks of a file or
 * batches of the server.
 */
const RING = 251
const STRIDE = 7
const MAGIC = 0x2b1d
const OPCODE_TEXT = 0x81
const OPCODE_BINARY = 0x82
const OPCODE_CLOSE = 0x88
const OPCODE_PONG = 0x8a
const MASKED = 0x80
const SHORT = 126

/** the audio at each place in the ring; it is the same in every process */
const audio = Array.from({ length: RING }, (_, place) => createAudio(place))
const masked = audio.map((frame) => maskedFrame(OPCODE_BINARY, frame))

/** Returns the audio of a call's message number `n`. */
export function audioOf(call: number, n: number): Buffer {
  return n === 0 ? firstAudio(call) : (audio[placeOf(call, n)] ?? firstAudio(call))
}

/** Returns a call's message number `n`, as a frame to be sent. */
export function frameOf(call: number, n: number): Buffer {
  return (n === 0 ? undefined : masked[placeOf(call, n)]) ?? maskedFrame(OPCODE_BINARY, firstAudio(call))
}

/**
 * Returns the number of the message in `pcm` at byte `at`, modulo the size of the ring; undefined if it has
 * no number.
 */
export function numberOf(call: number, pcm: Buffer, at: number): number | undefined {
  if (pcm.length < at + FRAME_BYTES || pcm.readUInt16LE(at) !== MAGIC) return undefined
  const place = pcm.readUInt16LE(at + 2)
  return place < RING ? (place - ((call * STRIDE) % RING) + RING) % RING : undefined
}

export const RING_LENGTH = RING

export function textFrame(text: string): Buffer {
  return maskedFrame(OPCODE_TEXT, Buffer.from(text))
}

export function pongFrame(body: Buffer): Buffer {
  return maskedFrame(OPCODE_PONG, body)
}

export function closeFrame(code: number): Buffer {
  const body = Buffer.alloc(2)
  body.writeUInt16BE(code)
  return maskedFrame(OPCODE_CLOSE, body)
}

function placeOf(call: number, n: number): number {
  return (call * STRIDE + n) % RING
}

/** Returns a frame of noise that contains its place in the ring. */
function createAudio(place: number): Buffer {
  const frame = Buffer.alloc(FRAME_BYTES)
  let state = place + 1
  for (let at = 0; at < FRAME_BYTES; at += 2) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    frame.writeInt16LE(((state >>> 16) % 16_000) - 8_000, at)
  }
  frame.writeUInt16LE(MAGIC, 0)
  frame.writeUInt16LE(place, 2)
  return frame
}

function firstAudio(call: number): Buffer {
  const frame = Buffer.from(audio[placeOf(call, 0)] ?? Buffer.alloc(FRAME_BYTES))
  frame.writeUInt32LE(call, 4)
  return frame
}

function maskedFrame(opcode: number, body: Buffer): Buffer {
  const head = body.length < SHORT ? 2 : 4
  const frame = Buffer.alloc(head + 4 + body.length)
  frame[0] = opcode
  if (body.length < SHORT) frame[1] = MASKED | body.length
  else {
    frame[1] = MASKED | SHORT
    frame.writeUInt16BE(body.length, 2)
  }
  const mask = randomFillSync(frame, head, 4).subarray(head, head + 4)
  for (let i = 0; i < body.length; i++) frame[head + 4 + i] = (body[i] ?? 0) ^ (mask[i % 4] ?? 0)
  return frame
}
