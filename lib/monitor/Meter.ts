import type { AudioStream } from '../audio/index.js'
import type { StreamLevels } from './messages.js'

/** How loud a stream has been since the meter was last read. */
export class Meter {
  readonly #stream: AudioStream
  /** lowest and highest sample of each channel */
  readonly #lows: Int16Array
  readonly #highs: Int16Array
  #running = false

  constructor(stream: AudioStream) {
    this.#stream = stream
    this.#lows = new Int16Array(stream.channels)
    this.#highs = new Int16Array(stream.channels)
  }

  get isRunning(): boolean {
    return this.#running
  }

  /** While it stands still, nobody needs the audio as it comes: the stream may be read in batches, which costs less. */
  run(running: boolean): void {
    if (running === this.#running) return
    this.#running = running
    if (running) this.#stream.on('audio', this.#hear)
    else this.#stream.off('audio', this.#hear)
  }

  read(): StreamLevels {
    const { recording, isPrivate, counts, sentMs, playedMs } = this.#stream
    const peaks = Array.from(this.#lows, (low, channel): [number, number] => [
      low >> 8,
      this.#highs[channel]! >> 8
    ])
    this.#lows.fill(0)
    this.#highs.fill(0)
    return {
      recording: recording?.state,
      isPrivate,
      isSpokenTo: playedMs < sentMs,
      gapMs: counts.gapMs,
      peaks
    }
  }

  // Runs for every frame.
  readonly #hear = (frame: Buffer): void => {
    const channels = this.#lows.length
    for (let at = 0; at < frame.length; at += 2) {
      const sample = frame.readInt16LE(at)
      const channel = (at >> 1) % channels
      if (sample < this.#lows[channel]!) this.#lows[channel] = sample
      else if (sample > this.#highs[channel]!) this.#highs[channel] = sample
    }
  }
}
