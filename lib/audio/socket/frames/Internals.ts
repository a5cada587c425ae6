import { readSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { Writable } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { WebSocket } from 'ws'

/** The part whose internals are not as the fast reader expects. */
export type Misfit = 'ws' | 'node'

interface Handle {
  reading: boolean
  /** file descriptor; -1 if the system has none for a socket */
  readonly fd?: number
  readStart(): number
  readStop(): number
  useUserBuffer(bytes: Uint8Array): void
}

/**
 * The symbols under which a net.Socket keeps the memory that it reads into, and the callback that gets the
 * bytes.
 */
interface OwnMemory {
  buffer: symbol
  callback: symbol
}

/** Result of `readWaiting()`: the kernel holds no bytes. */
const NOTHING = 0
/** Result of `readWaiting()`: the connection has ended, is broken, or can only be read by Node. */
export const UNREADABLE = -1

/**
 * All internals of ws and Node that the fast reader and writer use for one websocket. `Internals.of()` checks each of
 * them. If a check fails, or `limits.fastReader` is false, only public API is used.
 */
export class Internals {
  /** the frame parser of ws: the bytes of the connection are written to it */
  readonly receiver: Writable
  /** undefined if the websocket has no socket of Node (`injectWS`) */
  readonly raw: Socket | undefined
  readonly #ownMemory: OwnMemory | undefined

  /** Returns the internals of a websocket, or the part that is not as expected. */
  static of(socket: WebSocket): Internals | Misfit {
    const { _receiver: receiver, _socket: raw } = socket as unknown as {
      _receiver?: Writable & { _allowSynchronousEvents?: boolean }
      _socket?: unknown
    }
    // With an extension, ws delivers compressed messages later and out of order, so the fast reader can't be
    // used.
    const isAsExpected =
      receiver instanceof Writable && receiver._allowSynchronousEvents === true && socket.extensions === ''
    if (!isAsExpected) return 'ws'
    if (!(raw instanceof Socket) || raw.destroyed) return new Internals(receiver)
    if (handleOf(raw) === undefined) return 'node'
    // A TLS connection can't be read directly, since the kernel holds only its encrypted bytes.
    if (raw instanceof TLSSocket) return new Internals(receiver, raw)
    const ownMemory = ownMemoryOf(raw)
    return ownMemory === undefined ? 'node' : new Internals(receiver, raw, ownMemory)
  }

  private constructor(receiver: Writable, raw?: Socket, ownMemory?: OwnMemory) {
    this.receiver = receiver
    this.raw = raw
    this.#ownMemory = ownMemory
  }

  /**
   * Stops reading, so that bytes wait in the kernel. ws' own pause() lets Node read on, until 16 KiB wait in the
   * process, and each of these reads costs as much as handling a frame.
   */
  stopReading(): void {
    const handle = this.#handle
    if (handle === undefined || !handle.reading) return
    handle.reading = false
    handle.readStop()
  }

  /** Starts reading again. */
  startReading(): void {
    const handle = this.#handle
    if (handle === undefined || handle.reading) return
    handle.reading = true
    handle.readStart()
  }

  /** true if `readWaiting()` can read the connection while it is open. */
  get readsWaiting(): boolean {
    return this.#ownMemory !== undefined && (this.#handle?.fd ?? -1) >= 0
  }

  /**
   * Reads the bytes that the kernel holds, with one system call that does not wait. A read through Node takes
   * five system calls and the work of a stream. Returns the number of bytes, or UNREADABLE.
   */
  readWaiting(into: Buffer): number {
    // If Node has read bytes already, they come first, so this method must not read later bytes.
    if (this.#ownMemory === undefined || this.raw === undefined || this.raw.readableLength > 0) {
      return UNREADABLE
    }
    const { fd = -1 } = this.#handle ?? {}
    if (fd < 0) return UNREADABLE
    const { stackTraceLimit } = Error
    try {
      // Node throws an error if there are no bytes. Its stack would cost more than the read. An assignment would
      // throw, too, if the host has frozen Error.
      Reflect.set(Error, 'stackTraceLimit', 0)
      return readSync(fd, into, 0, into.length, null) || UNREADABLE
    } catch (err) {
      return (err as NodeJS.ErrnoException).code === 'EAGAIN' ? NOTHING : UNREADABLE
    } finally {
      Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
    }
  }

  /**
   * Writes the first `length` bytes of `frame` with one system call, which does not wait and has no callback.
   * Bytes that the kernel has no room for go through the socket. Returns false if nothing was written, so
   * that ws has to send the frame and sees the error, if there is one.
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
   * Makes Node read into `into` from now on, in place of 64 KiB that it allocates for every read. Does
   * nothing if the socket does not allow this. `onRead` is called with the number of bytes in `into`; if it
   * returns false, reading stops.
   */
  readTo(into: Buffer, onRead: (count: number) => boolean): void {
    if (this.raw === undefined || this.#ownMemory === undefined) return
    const { buffer, callback } = this.#ownMemory
    Object.assign(this.raw, { [buffer]: into, [callback]: onRead })
    this.#handle?.useUserBuffer(into)
  }

  // undefined once the socket has closed
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

/** the symbols of the latest socket: all sockets have the same */
let known: OwnMemory | undefined

function ownMemoryOf(raw: Socket): OwnMemory | undefined {
  if (known !== undefined && known.buffer in raw && known.callback in raw) return known
  const symbols = Object.getOwnPropertySymbols(raw)
  const buffer = symbols.find(({ description }) => description === 'kBuffer')
  const callback = symbols.find(({ description }) => description === 'kBufferCb')
  known = buffer === undefined || callback === undefined ? undefined : { buffer, callback }
  return known
}
