import { readSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { Writable } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { WebSocket } from 'ws'

/** Why a socket is not read by the fast reader: ws, or Node, is not as it expects. */
export type Misfit = 'ws' | 'node'

interface Handle {
  reading: boolean
  /** -1 where the system has none */
  readonly fd?: number
  readStart(): number
  readStop(): number
  useUserBuffer(bytes: Uint8Array): void
}

/** The symbols under which a net.Socket keeps the memory that it reads to, and who is told. */
interface OwnMemory {
  buffer: symbol
  callback: symbol
}

/** A result of `readWaiting` other than bytes: there are none. */
const NOTHING = 0
/** Ended, broken, or not to be read this way: read it as sockets are read. */
export const UNREADABLE = -1

/**
 * The internals of one websocket that the fast reader uses and that are no public API of ws or Node. No other file uses
 * any: `of` checks all of them. If it refuses, or is not called (`limits.fastReader: false`), only public API is used.
 */
export class Internals {
  /** ws' parser of frames: what the connection reads is written to it */
  readonly receiver: Writable
  /** undefined where the websocket is not on a socket of Node's (`injectWS`) */
  readonly raw: Socket | undefined
  readonly #ownMemory: OwnMemory | undefined

  /** Returns the internals of a websocket, or what is not as expected. */
  static of(socket: WebSocket): Internals | Misfit {
    const { _receiver: receiver, _socket: raw } = socket as unknown as {
      _receiver?: Writable & { _allowSynchronousEvents?: boolean }
      _socket?: unknown
    }
    // Compressed messages are delivered in another order than their frames come in.
    const isAsExpected =
      receiver instanceof Writable && receiver._allowSynchronousEvents === true && socket.extensions === ''
    if (!isAsExpected) return 'ws'
    if (!(raw instanceof Socket) || raw.destroyed) return new Internals(receiver)
    if (handleOf(raw) === undefined) return 'node'
    // Of TLS the kernel has only what is encrypted.
    if (raw instanceof TLSSocket) return new Internals(receiver, raw)
    const symbols = Object.getOwnPropertySymbols(raw)
    const buffer = symbols.find(({ description }) => description === 'kBuffer')
    const callback = symbols.find(({ description }) => description === 'kBufferCb')
    if (buffer === undefined || callback === undefined) return 'node'
    return new Internals(receiver, raw, { buffer, callback })
  }

  private constructor(receiver: Writable, raw?: Socket, ownMemory?: OwnMemory) {
    this.receiver = receiver
    this.raw = raw
    this.#ownMemory = ownMemory
  }

  /**
   * Stops reading, so that the kernel holds what comes. ws' own pause() leaves Node reading: every 20 ms frame is
   * fetched and queued, until 16 KiB lie in the process, which costs as much as handling it.
   */
  stopReading(): void {
    const handle = this.#handle
    if (handle === undefined || !handle.reading) return
    handle.reading = false
    handle.readStop()
  }

  /** Undoes `stopReading`. */
  startReading(): void {
    const handle = this.#handle
    if (handle === undefined || handle.reading) return
    handle.reading = true
    handle.readStart()
  }

  /**
   * Reads what the kernel holds, without waiting: one system call, where starting, polling, reading and stopping it is
   * five and a stream's whole machinery. Returns how many bytes, or UNREADABLE.
   */
  readWaiting(into: Buffer): number {
    // Between the two nothing may lie that came earlier.
    if (this.#ownMemory === undefined || this.raw === undefined || this.raw.readableLength > 0) {
      return UNREADABLE
    }
    const { fd = -1 } = this.#handle ?? {}
    if (fd < 0) return UNREADABLE
    try {
      return readSync(fd, into, 0, into.length, null) || UNREADABLE
    } catch (err) {
      return (err as NodeJS.ErrnoException).code === 'EAGAIN' ? NOTHING : UNREADABLE
    }
  }

  /**
   * Writes the first `length` bytes of `frame`, without waiting: one system call, and nothing to be told of later. What
   * the kernel has no room for goes through the socket. Returns false where nothing was written: ws is to send it, and
   * to be told what is wrong.
   */
  write(frame: Buffer, length: number): boolean {
    const { raw } = this
    if (this.#ownMemory === undefined || raw === undefined || raw.writableLength > 0 || raw.connecting) {
      return false
    }
    const { fd = -1 } = this.#handle ?? {}
    if (fd < 0) return false
    let written = 0
    try {
      written = writeSync(fd, frame, 0, length)
    } catch {
      return false
    }
    if (written > 0 && written < length) raw.write(Buffer.from(frame.subarray(written, length)))
    return written > 0
  }

  /**
   * Has Node read to `into` from now on, where it would allocate 64 KiB for every read; where the socket has no such
   * memory, nothing changes. `onRead`: so many bytes are in `into`; false stops reading.
   */
  readTo(into: Buffer, onRead: (count: number) => boolean): void {
    if (this.raw === undefined || this.#ownMemory === undefined) return
    const { buffer, callback } = this.#ownMemory
    Object.assign(this.raw, { [buffer]: into, [callback]: onRead })
    this.#handle?.useUserBuffer(into)
  }

  // null once the socket has closed
  get #handle(): Handle | undefined {
    return this.raw && handleOf(this.raw)
  }
}

function handleOf(raw: Socket): Handle | undefined {
  const handle = (raw as unknown as { _handle?: Partial<Handle> | null })._handle
  return isHandle(handle) ? handle : undefined
}

function isHandle(handle: Partial<Handle> | null | undefined): handle is Handle {
  return (
    typeof handle?.readStop === 'function' &&
    typeof handle.readStart === 'function' &&
    typeof handle.useUserBuffer === 'function' &&
    typeof handle.reading === 'boolean'
  )
}
