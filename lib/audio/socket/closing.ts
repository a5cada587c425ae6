import type { WebSocket } from 'ws'

// us -> jambonz: close codes. jambonz echoes them and tells nobody (mod_audio_fork).
export const CLOSE_NORMAL = 1000
export const CLOSE_BAD_START = 1008
export const CLOSE_TOO_BIG = 1009
export const CLOSE_OUR_FAULT = 1011
/** The code that ws reports for a connection that died without a close frame. */
export const CLOSED_ABNORMALLY = 1006

export type CloseCode =
  typeof CLOSE_NORMAL | typeof CLOSE_BAD_START | typeof CLOSE_TOO_BIG | typeof CLOSE_OUR_FAULT

/** Bytes of text in a close frame (RFC 6455, 5.5). ws throws a RangeError for more. */
const MAX_REASON_BYTES = 123
const CONTINUATION_MASK = 0xc0
const CONTINUATION = 0x80

/** Closes a websocket. A reason of any length will do: it is cut to what a close frame carries. */
export function closeSocket(socket: Pick<WebSocket, 'close'>, code: CloseCode, reason = ''): void {
  socket.close(code, closeReason(reason))
}

/** Returns the longest beginning of `reason` that fits into a close frame, cut between two characters. */
export function closeReason(reason: string): Buffer {
  const bytes = Buffer.from(reason)
  if (bytes.length <= MAX_REASON_BYTES) return bytes
  let end = MAX_REASON_BYTES
  while (((bytes[end] ?? 0) & CONTINUATION_MASK) === CONTINUATION) end--
  return bytes.subarray(0, end)
}
