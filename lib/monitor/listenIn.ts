import type { WebSocket } from 'ws'
import type { AudioStream } from '../audio/index.js'
import { CLOSE_BAD_START, CLOSE_NORMAL } from '../audio/socket/wire.js'

/** ms of audio that may wait for a supervisor on a slow line; what comes on top of it he misses */
const MAX_DELAY = 250

/** Sends what is said to one supervisor, as L16, for as long as the stream and he are there. */
export function listenIn(stream: AudioStream | undefined, supervisor: WebSocket): void {
  if (stream === undefined) return supervisor.close(CLOSE_BAD_START, 'this instance has no such stream')
  const mostWaiting = (MAX_DELAY / 1000) * stream.sampleRate * stream.channels * 2
  const hear = (frame: Buffer) => {
    // What is not recorded is nobody's to hear.
    if (stream.recording?.state !== 'paused' && supervisor.bufferedAmount < mostWaiting) {
      supervisor.send(frame)
    }
  }
  stream.on('audio', hear)
  stream.done.finally(() => supervisor.close(CLOSE_NORMAL))
  supervisor.on('close', () => stream.off('audio', hear))
  supervisor.on('error', () => supervisor.terminate())
}
