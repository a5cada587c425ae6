import type { WebSocket } from 'ws'
import { liveOf, type AudioStream } from '../audio/index.js'
import { addHeard } from '../pcm/mix.js'
import { samplesOf } from '../pcm/samples.js'
import { CLOSE_NORMAL, closeSocket } from '../audio/socket/closing.js'

/** ms of audio that may wait for a supervisor on a slow line; what comes on top of it he misses */
const MAX_DELAY = 250

/**
 * Whoever listens in to one stream: each is sent what both sides say, as L16 with the channels of the stream, for as
 * long as the stream and he are there. What the caller hears of the application is added to the last channel.
 */
export class Audience {
  readonly #stream: AudioStream
  readonly #mostWaiting: number
  readonly #supervisors = new Set<WebSocket>()

  constructor(stream: AudioStream) {
    this.#stream = stream
    this.#mostWaiting = (MAX_DELAY / 1000) * stream.sampleRate * stream.channels * 2
    // Once a stream, and not once a visit: what a promise is to do when it settles, it keeps until then.
    stream.done.then(() => {
      for (const supervisor of this.#supervisors) closeSocket(supervisor, CLOSE_NORMAL)
    })
  }

  add(supervisor: WebSocket): void {
    const stream = this.#stream
    const live = liveOf(stream)
    const hear = (frame: Buffer) => {
      // What is private is nobody's to hear.
      if (live.isHidden || supervisor.bufferedAmount >= this.#mostWaiting) return
      const { heard } = live
      if (heard === undefined) return supervisor.send(frame)
      const both = Buffer.from(frame)
      addHeard(samplesOf(both), heard, stream.channels)
      supervisor.send(both)
    }
    supervisor.on('error', () => supervisor.terminate())
    stream.on('audio', hear)
    this.#supervisors.add(supervisor)
    supervisor.on('close', () => {
      stream.off('audio', hear)
      this.#supervisors.delete(supervisor)
    })
  }
}
