import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import type { Internals } from './Internals.js'

// RFC 6455, 5.2. Every frame of jambonz is masked and whole (mod_audio_fork).
const FINAL_BINARY = 0x82
const FINAL = 0x80
const OPCODE = 0x0f
const CONTINUATION = 0
const BINARY = 2
const CONTROL = 0x08
const PONG = 0x0a
const RESERVED = 0x70
const MASKED = 0x80
const LENGTH = 0x7f
const LENGTH_16 = 126
const LENGTH_64 = 127
const MASK_BYTES = 4
const LITTLE_ENDIAN = true

/**
 * The buffer into which all live sockets (read as audio comes) are read, one after the other. Node would
 * allocate 64 KiB for every read.
 */
const LIVE_BYTES = Buffer.allocUnsafeSlow(65_536)
const LIVE_VIEW = new DataView(LIVE_BYTES.buffer)

/** bytes of one slab; few, because a frame that a reader keeps also keeps its whole slab in memory */
const SLAB_BYTES = 16_384
/** bytes of the longest frame that is put into a slab */
const MAX_PIECE = SLAB_BYTES / 4
const ALIGNMENT = 8

/**
 * The memory of frames that readers may keep, for all live sockets. A frame is a piece of the present slab,
 * since a buffer and a copy for each frame would cost more than parsing the frame.
 */
const kept = {
  bytes: Buffer.alloc(0),
  view: new DataView(new ArrayBuffer(0)),
  used: 0,
  /** Returns the place of the next `length` bytes in `bytes`. */
  take(length: number): number {
    if (this.used + length > this.bytes.length) {
      this.bytes = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.view = new DataView(this.bytes.buffer)
      this.used = 0
    }
    const at = this.used
    this.used = (at + length + ALIGNMENT - 1) & -ALIGNMENT
    return at
  }
}

/**
 * Takes audio. `messages`: number of messages in `audio`. `reused`: true if the memory of `audio` will be
 * overwritten, so that the caller must copy what it keeps.
 */
export type OnAudio = (audio: Buffer, messages: number, reused: boolean) => void

/**
 * Reads frames of audio - binary, masked, whole - before ws does, at a fraction of the cost. All other
 * frames, and a frame that the end of a read cuts, go to ws unchanged, since ws handles texts, pings, closes,
 * fragments and errors.
 */
export class FrameParser {
  /** true if messages that were read together are delivered as one */
  merging = false
  readonly #receiver: Writable
  readonly #writeToWs: (bytes: Buffer) => boolean
  readonly #maxPayload: number
  readonly #isKept: () => boolean
  readonly #onAudio: OnAudio
  // The beginning of a frame header that the last read cut.
  #head: Buffer | undefined
  // Bytes that ws still needs of a frame that it reads.
  #owed = 0
  #fragmented = false
  // True once ws has seen a close or an error, so that everything after it is ignored.
  #over = false
  // True if ws must handle the bytes of this read before it gets more.
  #needsDrain = false
  // `#reused`: true if the memory being read will be overwritten. `#begin`, `#end`: the audio in it that is
  // still to be delivered.
  #reused = false
  #begin = 0
  #end = 0
  #messages = 0

  /** true while a frame, or a message of several frames, has arrived in part. */
  get isWithinMessage(): boolean {
    return this.#head !== undefined || this.#owed > 0 || this.#fragmented
  }

  /** `isKept`: returns true if somebody may keep the audio that is delivered now. */
  constructor(internals: Internals, maxPayload: number, isKept: () => boolean, onAudio: OnAudio) {
    const { receiver, raw } = internals
    this.#receiver = receiver
    this.#writeToWs = receiver.write.bind(receiver)
    this.#maxPayload = maxPayload
    this.#isKept = isKept
    this.#onAudio = onAudio
    // ws writes the bytes of the connection to its receiver. From now on the parser gets them first.
    receiver.write = (chunk: Buffer) => this.#take(chunk)
    const end = receiver.end.bind(receiver)
    receiver.end = (...args: []) => {
      this.#leaveHead()
      return end(...args)
    }
    if (raw) this.#shorten(internals, raw)
  }

  /**
   * Takes the bytes directly from the connection, because the socket's buffer, its `data` event and the tick
   * before the next read take half of the time of a message. Bytes go through the socket only while the
   * socket does not flow to ws.
   */
  #shorten(internals: Internals, raw: Socket): void {
    const push = raw.push.bind(raw)
    const flows = () =>
      raw.readableFlowing === true && raw.readableLength === 0 && raw.listenerCount('data') === 1
    raw.push = (chunk: Buffer | null, encoding?: BufferEncoding) =>
      chunk !== null && flows() ? this.#take(chunk) : push(chunk, encoding)
    internals.readTo(LIVE_BYTES, (count) => {
      if (!flows()) return push(Buffer.from(LIVE_BYTES.subarray(0, count)))
      this.read(LIVE_BYTES, LIVE_VIEW, count, true)
      return !this.#needsDrain
    })
  }

  #take(chunk: Buffer): boolean {
    this.read(chunk, new DataView(chunk.buffer, chunk.byteOffset, chunk.length), chunk.length, false)
    return !this.#needsDrain
  }

  /**
   * Reads the first `length` bytes of `chunk`, which have arrived, and unmasks them in place. `view`: a view
   * of the same memory. `reused`: true if this memory will be overwritten.
   */
  read(chunk: Buffer, view: DataView, length: number, reused: boolean): void {
    this.#needsDrain = false
    if (this.#head === undefined) {
      this.#reused = reused
      return this.#read(chunk, view, length)
    }
    const whole = Buffer.concat([this.#head, chunk.subarray(0, length)])
    this.#head = undefined
    this.#reused = false
    this.#read(whole, new DataView(whole.buffer, whole.byteOffset, whole.length), whole.length)
  }

  #read(chunk: Buffer, view: DataView, length: number): void {
    let at = Math.min(this.#owed, length)
    if (at > 0) this.#leave(chunk, 0, at)
    while (at < length && !this.#over) {
      const sized = at + sizedLength(view, at, length)
      if (sized > length) {
        this.#cut(chunk, view, at, length)
        break
      }
      const body = sized + maskLength(view, at)
      const end = body + payloadLength(view, at)
      if (end <= length && this.#isAudio(view, at, end - body)) this.#gather(chunk, view, body, end)
      else {
        this.#deliver(chunk)
        this.#owed = end - at
        this.#leave(chunk, at, Math.min(end, length))
        this.#follow(view.getUint8(at))
      }
      at = end
    }
    this.#deliver(chunk)
  }

  #isAudio(view: DataView, at: number, payload: number): boolean {
    return (
      view.getUint8(at) === FINAL_BINARY &&
      (view.getUint8(at + 1) & MASKED) !== 0 &&
      !this.#fragmented &&
      payload > 0 &&
      payload <= this.#maxPayload
    )
  }

  // Moves the audio of a frame up to the audio before it, over the header and mask between them.
  #gather(chunk: Buffer, view: DataView, body: number, end: number): void {
    if (this.#messages === 0) {
      const isAlone = !this.merging && this.#reused && end - body <= MAX_PIECE
      if (isAlone && this.#isKept()) return this.#deliverKept(view, body, end - body)
      this.#begin = this.#end = body
    }
    unmask(view, body, view, this.#end, end - body)
    this.#end += end - body
    this.#messages++
    if (!this.merging) this.#deliver(chunk)
  }

  // Delivers the audio of one frame in memory that is not overwritten.
  #deliverKept(view: DataView, body: number, length: number): void {
    const at = kept.take(length)
    unmask(view, body, kept.view, at, length)
    this.#onAudio(kept.bytes.subarray(at, at + length), 1, false)
  }

  #deliver(chunk: Buffer): void {
    const messages = this.#messages
    if (messages === 0) return
    this.#messages = 0
    this.#onAudio(chunk.subarray(this.#begin, this.#end), messages, this.#reused)
  }

  #leave(chunk: Buffer, from: number, to: number): void {
    this.#owed -= to - from
    const bytes = chunk.subarray(from, to)
    this.#writeToWs(this.#reused ? Buffer.from(bytes) : bytes)
    this.#over = this.#receiver.writableEnded || this.#receiver.errored !== null
    this.#needsDrain = this.#receiver.writableNeedDrain
  }

  // Keeps a frame header that is cut before the end of its length, until the rest arrives. If its first bytes are an
  // error, ws gets the header at once.
  #cut(chunk: Buffer, view: DataView, at: number, length: number): void {
    if (at + 2 > length || !isRefused(view.getUint8(at), view.getUint8(at + 1), this.#fragmented)) {
      this.#head = Buffer.from(chunk.subarray(at, length))
      return
    }
    this.#deliver(chunk)
    this.#owed = length - at
    this.#leave(chunk, at, length)
  }

  // Gives a cut header to ws at the end of the connection, which then reports the error.
  #leaveHead(): void {
    if (this.#head !== undefined && !this.#over) this.#writeToWs(this.#head)
    this.#head = undefined
  }

  // Notes whether a message of several frames has begun or ended.
  #follow(first: number): void {
    const opcode = first & OPCODE
    if (opcode === CONTINUATION || opcode < CONTROL) this.#fragmented = (first & FINAL) === 0
  }
}

/** Returns the bytes up to the end of the length of the frame at `at`; 2 if too few bytes have arrived to tell. */
function sizedLength(view: DataView, at: number, length: number): number {
  if (at + 2 > length) return 2
  const code = view.getUint8(at + 1) & LENGTH
  return 2 + (code < LENGTH_16 ? 0 : code === LENGTH_16 ? 2 : 8)
}

function maskLength(view: DataView, at: number): number {
  return (view.getUint8(at + 1) & MASKED) === 0 ? 0 : MASK_BYTES
}

/** Returns true if a frame with these first two bytes is an error (RFC 6455, 5). */
function isRefused(first: number, second: number, isWithinMessage: boolean): boolean {
  const opcode = first & OPCODE
  if ((first & RESERVED) !== 0 || (second & MASKED) === 0) return true
  if (opcode >= CONTROL) return opcode > PONG || (first & FINAL) === 0 || (second & LENGTH) >= LENGTH_16
  return opcode > BINARY || (opcode === CONTINUATION) !== isWithinMessage
}

function payloadLength(view: DataView, at: number): number {
  const code = view.getUint8(at + 1) & LENGTH
  if (code < LENGTH_16) return code
  return code === LENGTH_64 ? Number(view.getBigUint64(at + 2)) : view.getUint16(at + 2)
}

/**
 * Unmasks the `length` bytes at `begin`, which follow their mask, and puts them to `to`. If both are in the
 * same memory, `to` must not be above `begin`.
 */
function unmask(from: DataView, begin: number, into: DataView, to: number, length: number): void {
  const mask = from.getInt32(begin - MASK_BYTES, LITTLE_ENDIAN)
  const words = length - (length % MASK_BYTES)
  for (let i = 0; i < words; i += MASK_BYTES) {
    into.setInt32(to + i, from.getInt32(begin + i, LITTLE_ENDIAN) ^ mask, LITTLE_ENDIAN)
  }
  for (let i = words; i < length; i++) {
    into.setUint8(to + i, from.getUint8(begin + i) ^ (mask >>> ((i - words) * 8)))
  }
}
