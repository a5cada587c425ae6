import { bytesOf, durationOf, type WavFormat } from '../pcm/wavHeader.js'
import type { Gap, Pause } from './types.js'
import type { PauseMode } from '../audio/index.js'

/** Pauses, or gaps, that are listed one by one; more are only in the totals. */
const MAX_LISTED = 500

/** The pauses of a recording and the gaps in the audio that arrived, with their positions. */
export class Timeline {
  readonly #format: WavFormat
  readonly #pauses: Pause[] = []
  readonly #gaps: Gap[] = []
  #pause: Pause | undefined
  /** bytes put down so far, silence included */
  #bytes = 0
  /** ms left over from rounding gaps to whole blocks: many small gaps must not add up to a drift */
  #rest = 0

  constructor(format: WavFormat) {
    this.#format = format
  }

  get pauseMode(): PauseMode | undefined {
    return this.#pause?.mode
  }

  get pauses(): Pause[] {
    return this.#pauses.map((pause) => ({ ...pause, durationMs: Math.round(pause.durationMs) }))
  }

  get gaps(): Gap[] {
    return this.#gaps.map((gap) => ({ ...gap, durationMs: Math.round(gap.durationMs) }))
  }

  /** Counts bytes that were handed to the file. */
  advance(bytes: number): void {
    this.#bytes += bytes
  }

  beginPause(mode: PauseMode): void {
    this.#pause = { atMs: this.#atMs, durationMs: 0, mode, startedAt: new Date().toISOString() }
    if (this.#pauses.length < MAX_LISTED) this.#pauses.push(this.#pause)
  }

  /** Adds `ms` of the call to the pause. */
  extendPause(ms: number): void {
    if (this.#pause) this.#pause.durationMs += ms
  }

  endPause(): void {
    if (this.#pause) this.#pause.endedAt = new Date().toISOString()
    this.#pause = undefined
  }

  /** Notes a gap in the audio; returns the bytes of silence to write for it, 0 if it is not to be filled. */
  addGap(ms: number, filled: boolean): number {
    if (this.#gaps.length < MAX_LISTED) this.#gaps.push({ atMs: this.#atMs, durationMs: ms, filled })
    if (!filled) return 0
    const bytes = bytesOf(this.#format, ms + this.#rest)
    this.#rest += ms - durationOf(this.#format, bytes)
    return bytes
  }

  get #atMs(): number {
    return Math.round(durationOf(this.#format, this.#bytes))
  }
}
