import { readSync } from 'node:fs'
import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { WebSocket } from 'ws'

interface Handle {
  reading: boolean
  /** -1 where the system has none */
  readonly fd?: number
  readStart(): number
  readStop(): number
  useUserBuffer?(bytes: Uint8Array): void
}

/**
 * Pauses a websocket so that the kernel holds what comes. ws' own pause() leaves Node reading: every 20 ms frame is
 * fetched and queued, until 16 KiB lie in the process, which costs as much as handling it. A net.Socket stops
 * reading for good only through its handle, which is no public API of Node's: where it is not as expected
 * (`injectWS`, another runtime), ws' pause() is all that is done.
 */
export function stopReading(socket: WebSocket): void {
  socket.pause()
  const handle = handleOf(socket)
  if (handle === undefined || !handle.reading) return
  handle.reading = false
  handle.readStop()
}

/** Undoes `stopReading`. */
export function startReading(socket: WebSocket): void {
  const handle = handleOf(socket)
  if (handle !== undefined && !handle.reading) {
    handle.reading = true
    handle.readStart()
  }
  socket.resume()
}

/** What `readWaiting` found in place of bytes. */
export const NOTHING = 0
/** Ended, broken, or not to be read this way: read it as sockets are read. */
export const UNREADABLE = -1

/**
 * Reads what the kernel holds of a socket, without waiting: one system call, where starting, polling, reading and
 * stopping it is five and a stream's whole machinery. Returns how many bytes.
 */
export function readWaiting(socket: WebSocket, into: Buffer): number {
  const raw = rawOf(socket)
  // Between the two nothing may lie that came earlier; and of TLS the kernel has only what is encrypted.
  if (!(raw instanceof Socket) || raw instanceof TLSSocket || raw.readableLength > 0) return UNREADABLE
  const { fd = -1 } = handleOf(socket) ?? {}
  if (fd < 0) return UNREADABLE
  try {
    return readSync(fd, into, 0, into.length, null) || UNREADABLE
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === 'EAGAIN' ? NOTHING : UNREADABLE
  }
}

/** Returns true where `use` takes the bytes from now on. `onRead`: so many bytes are in `into`; false stops reading. */
export function readIntoOwn(socket: WebSocket, into: Buffer, onRead: (count: number) => boolean): boolean {
  const raw = rawOf(socket)
  if (!(raw instanceof Socket) || raw instanceof TLSSocket) return false
  const handle = handleOf(socket)
  const symbols = Object.getOwnPropertySymbols(raw)
  const [buffer, callback] = ['kBuffer', 'kBufferCb'].map((name) =>
    symbols.find(({ description }) => description === name)
  )
  if (buffer === undefined || callback === undefined || typeof handle?.useUserBuffer !== 'function') {
    return false
  }
  Object.assign(raw, { [buffer]: into, [callback]: onRead })
  handle.useUserBuffer(into)
  return true
}

function handleOf(socket: WebSocket): Handle | undefined {
  const handle = rawOf(socket)?._handle
  return isHandle(handle) ? handle : undefined
}

function rawOf(socket: WebSocket): { _handle?: Partial<Handle> | null } | null | undefined {
  return (socket as unknown as { _socket?: { _handle?: Partial<Handle> | null } | null })._socket
}

function isHandle(handle: Partial<Handle> | null | undefined): handle is Handle {
  return (
    typeof handle?.readStop === 'function' &&
    typeof handle.readStart === 'function' &&
    typeof handle.reading === 'boolean'
  )
}
