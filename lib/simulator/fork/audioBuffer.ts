import { bytesOf } from '../audio/pcm.js'

/** Seconds of audio that are kept while the server does not read (MOD_AUDIO_FORK_BUFFER_SECS, default 2). */
const BUFFER_SECONDS = 2
/**
 * Bytes missing in the first message after an overrun, because the module resets its buffer to before the websocket
 * header.
 */
const LOST_AFTER_OVERRUN = 16

/**
 * The media server's buffer between the call and the websocket (mod_audio_fork, fork_frame). When the buffer is full,
 * the module empties it. With resampling it keeps the content instead, and drops new audio until there is room.
 */
export class AudioBuffer {
  readonly #bytes: Buffer
  readonly #frameBytes: number
  readonly #resampled: boolean
  #length = 0
  #skip = 0
  /** True if the module reported an overrun. With resampling that need not lose audio: see `lostBytes`. */
  overran = false
  lostBytes = 0

  constructor(options: { sampleRate: number; channels: number; frameBytes: number; resampled: boolean }) {
    this.#bytes = Buffer.allocUnsafe(options.sampleRate * options.channels * 2 * BUFFER_SECONDS)
    this.#frameBytes = options.frameBytes
    this.#resampled = options.resampled
  }

  /**
   * Adds samples. Returns false if the buffer is full. The module then leaves the remaining samples in FreeSWITCH's
   * buffer until its next turn.
   */
  add(samples: Int16Array): boolean {
    const bytes = bytesOf(samples)
    if (!this.#resampled && this.#full) {
      this.overran = true
      this.lostBytes += this.#length
      this.#length = 0
      this.#skip = LOST_AFTER_OVERRUN
    }
    const written = bytes.copy(this.#bytes, this.#length)
    this.#length += written
    this.lostBytes += bytes.length - written
    if (!this.#resampled || !this.#full) return true
    this.overran = true
    return false
  }

  /** Returns all audio as the next message: a view that is valid until the next `add`. */
  take(): Buffer {
    const skipped = Math.min(this.#skip, this.#length)
    const message = this.#bytes.subarray(skipped, this.#length)
    this.lostBytes += skipped
    this.#length = 0
    this.#skip = 0
    return message
  }

  get #full(): boolean {
    return this.#bytes.length - this.#length < this.#frameBytes
  }
}
