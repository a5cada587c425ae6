import type { WebSocket } from 'ws'

interface Handle {
  reading: boolean
  readStart (): number
  readStop (): number
}

/**
 * Pauses a websocket so that the kernel holds what comes. ws' own pause() leaves Node reading: every 20 ms frame is
 * fetched and queued, until 16 KiB lie in the process, which costs as much as handling it. A net.Socket stops
 * reading for good only through its handle, which is no public API of Node's: where it is not as expected
 * (`injectWS`, another runtime), ws' pause() is all that is done.
 */
export function stopReading (socket: WebSocket): void {
  socket.pause()
  const handle = handleOf(socket)
  if (handle === undefined || !handle.reading) return
  handle.reading = false
  handle.readStop()
}

/** Undoes `stopReading`. */
export function startReading (socket: WebSocket): void {
  const handle = handleOf(socket)
  if (handle !== undefined && !handle.reading) {
    handle.reading = true
    handle.readStart()
  }
  socket.resume()
}

function handleOf (socket: WebSocket): Handle | undefined {
  const { _socket: raw } = socket as unknown as { _socket?: { _handle?: Partial<Handle> | null } | null }
  const handle = raw?._handle
  return isHandle(handle) ? handle : undefined
}

function isHandle (handle: Partial<Handle> | null | undefined): handle is Handle {
  return typeof handle?.readStop === 'function' && typeof handle.readStart === 'function' && typeof handle.reading === 'boolean'
}
