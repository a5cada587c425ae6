import { liveOf, type AudioStream } from '../audio/stream/AudioStream.js'
import { SAMPLE_BYTES } from '../pcm/samples.js'
import { channelsOf } from './Audience.js'
import type { StreamLevels } from './messages.js'

const LOWEST = -32_768
const HIGHEST = 32_767

/** A meter of a stream's peaks since it was last read. */
export class Meter {
  readonly #stream: AudioStream
  /** lowest and highest sample of each channel */
  readonly #lows: Int16Array
  readonly #highs: Int16Array
  #running = false

  constructor(stream: AudioStream) {
    this.#stream = stream
    this.#lows = new Int16Array(channelsOf(stream))
    this.#highs = new Int16Array(channelsOf(stream))
  }

  get isRunning(): boolean {
    return this.#running
  }

  /** Starts or stops the meter. While it is stopped, the stream may be read in batches, which costs less. */
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
    const { channels } = this.#stream
    const { heard } = liveOf(this.#stream)
    const last = this.#lows.length - 1
    for (let at = 0; at < frame.length; at += SAMPLE_BYTES) {
      const index = at / SAMPLE_BYTES
      const channel = index % channels
      const sample = frame.readInt16LE(at)
      this.#measure(
        channel === last ? sample + (heard?.[(index - channel) / channels] ?? 0) : sample,
        channel
      )
    }
    if (heard && last === channels) for (const sample of heard) this.#measure(sample, last)
  }

  #measure(sample: number, channel: number): void {
    if (sample < this.#lows[channel]!) this.#lows[channel] = Math.max(sample, LOWEST)
    else if (sample > this.#highs[channel]!) this.#highs[channel] = Math.min(sample, HIGHEST)
  }
}
