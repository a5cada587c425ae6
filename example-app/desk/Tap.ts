import type { WebSocket } from '@fastify/websocket'
import type { AudioStream } from 'fastify-jambonz-listen'

/** ms of audio that may wait for a supervisor on a slow line; what comes on top of it he misses */
const MAX_DELAY = 250

/** What is told of one live stream: its levels, its keys, and its audio to those who listen in. */
export class Tap {
  readonly supervisors = new Set<WebSocket>()
  keys = ''
  readonly #stream: AudioStream
  #open = false
  /** lowest and highest sample of each channel since the levels were last told */
  readonly #peaks = [0, 0, 0, 0]

  constructor (stream: AudioStream) {
    this.#stream = stream
    stream.on('dtmf', ({ digit }) => { this.keys += this.#isPrivate && /\d/.test(digit) ? '•' : digit })
  }

  /** Without it a stream that nobody watches is read in batches, which costs less. */
  open (open: boolean): void {
    if (open === this.#open) return
    this.#open = open
    if (open) this.#stream.on('audio', this.#hear)
    else this.#stream.off('audio', this.#hear)
  }

  /** `[paused, ms missing so far, low, high]`, as bytes, and low and high again for a second channel. */
  levels (): number[] {
    const { channels, counts: { gapMs } } = this.#stream
    const peaks = this.#peaks.slice(0, channels * 2).map((sample) => sample >> 8)
    this.#peaks.fill(0)
    return [this.#isPrivate ? 1 : 0, gapMs, ...peaks]
  }

  /** What is not recorded is nobody's to hear. */
  get #isPrivate (): boolean {
    return this.#stream.recording?.state === 'paused'
  }

  // Runs for every frame of the call: quick, and whoever is slow loses.
  readonly #hear = (frame: Buffer): void => {
    const { channels, sampleRate } = this.#stream
    for (let at = 0; at < frame.length; at += 2) {
      const sample = frame.readInt16LE(at)
      const low = at % (channels * 2)
      if (sample < this.#peaks[low]!) this.#peaks[low] = sample
      else if (sample > this.#peaks[low + 1]!) this.#peaks[low + 1] = sample
    }
    if (this.#isPrivate) return
    for (const socket of this.supervisors) {
      if (socket.bufferedAmount < MAX_DELAY * sampleRate * channels * 2 / 1000) socket.send(frame)
    }
  }
}
