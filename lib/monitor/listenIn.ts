import type { WebSocket } from 'ws'
import { liveOf, type AudioStream } from '../audio/index.js'
import { CLOSE_BAD_START, CLOSE_NORMAL, closeSocket } from '../audio/socket/closing.js'

/** ms of audio that may wait for a supervisor on a slow line; what comes on top of it he misses */
const MAX_DELAY = 250

/** The supervisors of each stream. One wait for its end serves them all: a visit leaves nothing behind. */
const audiences = new WeakMap<AudioStream, Set<WebSocket>>()

/** Sends what is said to one supervisor, as L16, for as long as the stream and he are there. */
export function listenIn(stream: AudioStream | undefined, supervisor: WebSocket): void {
  supervisor.on('error', () => supervisor.terminate())
  if (stream === undefined) {
    return closeSocket(supervisor, CLOSE_BAD_START, 'this instance has no such stream')
  }
  const live = liveOf(stream)
  const mostWaiting = (MAX_DELAY / 1000) * stream.sampleRate * stream.channels * 2
  const hear = (frame: Buffer) => {
    // What is private is nobody's to hear.
    if (!live.isHidden && supervisor.bufferedAmount < mostWaiting) supervisor.send(frame)
  }
  const audience = audienceOf(stream)
  audience.add(supervisor)
  stream.on('audio', hear)
  supervisor.on('close', () => {
    audience.delete(supervisor)
    stream.off('audio', hear)
  })
}

function audienceOf(stream: AudioStream): Set<WebSocket> {
  const known = audiences.get(stream)
  if (known !== undefined) return known
  const audience = new Set<WebSocket>()
  audiences.set(stream, audience)
  stream.done.then(() => {
    for (const supervisor of audience) closeSocket(supervisor, CLOSE_NORMAL)
  })
  return audience
}
