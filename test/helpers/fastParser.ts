import type { WebSocket } from 'ws'
import { FrameParser, type OnAudio } from '../../lib/audio/socket/frames/FrameParser.js'
import { Internals } from '../../lib/audio/socket/frames/Internals.js'

/** Returns a function that returns true on every second call. */
export function everySecond(): () => boolean {
  let yes = true
  return () => (yes = !yes)
}

/**
 * Returns the plugin's own parser for the frames of a websocket (FrameParser); undefined if it can't be used
 * with this version of ws.
 */
export function fastParser(
  socket: WebSocket,
  maxPayload: number,
  onAudio: OnAudio,
  isKept: () => boolean = everySecond()
): FrameParser | undefined {
  const internals = Internals.of(socket)
  return internals instanceof Internals ? new FrameParser(internals, maxPayload, isKept, onAudio) : undefined
}
