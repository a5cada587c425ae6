import { bytesOf } from '../audio/pcm.js'

/** Seconds of audio kept while the server does not read (MOD_AUDIO_FORK_BUFFER_SECS, default 2). */
const BUFFER_SECONDS = 2
/** The module resets its buffer to before the room for a websocket header, so the next message lacks these bytes. */
const LOST_AFTER_OVERRUN = 16

/**
 * The media server's buffer between the call and the websocket (mod_audio_fork, fork_frame). When it is full, all of it is
 * thrown away - or, with resampling, new audio is lost until there is room.
 */
export class AudioBuffer {
  readonly #bytes: Buffer
  readonly #frameBytes: number
  readonly #resampled: boolean
  #length = 0
  #skip = 0
  overran = false

  constructor(options: { sampleRate: number; channels: number; frameBytes: number; resampled: boolean }) {
    this.#bytes = Buffer.allocUnsafe(options.sampleRate * options.channels * 2 * BUFFER_SECONDS)
    this.#frameBytes = options.frameBytes
    this.#resampled = options.resampled
  }

  add(samples: Int16Array): void {
    const bytes = bytesOf(samples)
    if (this.#bytes.length - this.#length < this.#frameBytes) {
      this.overran = true
      if (this.#resampled) return
      this.#length = 0
      this.#skip = LOST_AFTER_OVERRUN
    }
    this.#length += bytes.copy(this.#bytes, this.#length)
  }

  /** Everything there is, as the next message; a view that is valid until the next `add`. */
  take(): Buffer {
    const message = this.#bytes.subarray(Math.min(this.#skip, this.#length), this.#length)
    this.#length = 0
    this.#skip = 0
    return message
  }
}
