import type { WebSocket } from 'ws'
import { liveOf, type AudioStream } from '../audio/stream/AudioStream.js'
import { addHeard, bytesOf, pairUp, SAMPLE_BYTES, samplesOf } from '../pcm/samples.js'
import { channelsWithOutput } from '../recording/OutputMixer.js'
import { CLOSE, closeSocket } from '../audio/socket/SocketEnd.js'

/** ms of audio that may wait for a supervisor on a slow line. Audio beyond that is dropped for this supervisor. */
const MAX_DELAY = 250

/**
 * The supervisors who listen in to one stream. Each gets the audio of both sides as L16, with the channels of the
 * recording (see `channelsWithOutput()`), until the stream ends or the supervisor's socket closes.
 */
export class Audience {
  readonly #stream: AudioStream
  readonly #mostWaiting: number
  readonly #supervisors = new Set<WebSocket>()

  constructor(stream: AudioStream) {
    this.#stream = stream
    this.#mostWaiting = (MAX_DELAY / 1000) * stream.sampleRate * channelsWithOutput(stream) * SAMPLE_BYTES
    // One callback for all supervisors, since the promise keeps its callbacks until it settles, even the
    // callbacks of supervisors who left.
    stream.done.then(() => {
      for (const supervisor of this.#supervisors) closeSocket(supervisor, CLOSE.normal)
    })
  }

  add(supervisor: WebSocket): void {
    const stream = this.#stream
    const live = liveOf(stream)
    const isPaired = channelsWithOutput(stream) > stream.channels
    const hear = (frame: Buffer) => {
      // Private audio is sent to nobody.
      if (live.isHidden || supervisor.bufferedAmount >= this.#mostWaiting) return
      const heard = live.heardIn(frame)
      if (isPaired) {
        const pairs = new Int16Array((2 * frame.length) / SAMPLE_BYTES)
        pairUp(frame, heard, pairs)
        return supervisor.send(bytesOf(pairs))
      }
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
