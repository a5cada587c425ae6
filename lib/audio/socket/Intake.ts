import type { AudioCounts } from '../../model/schema.js'
import { GapMeter } from './GapMeter.js'
import type { AudioSink } from './types.js'
import { SAMPLE_BYTES } from '../../pcm/samples.js'

/** Bytes held back from the sinks while a gap is in doubt. */
const MAX_HELD = 1_048_576

/**
 * The way in: binary messages of any size become whole sample frames, are counted and handed to the sinks. Nothing
 * here is allocated per frame as long as messages are aligned, as jambonz' are.
 */
export class Intake {
  frames = 0
  bytes = 0
  readonly gaps = new GapMeter()
  readonly bytesPerMs: number
  readonly #mask: number
  #sinks: readonly AudioSink[] = []
  #carry: Buffer | undefined
  // Frames that wait for the judgement whether something is missing before them.
  #held: Buffer[] = []
  #heldBytes = 0

  constructor(sampleRate: number, channels: number) {
    this.bytesPerMs = (sampleRate * channels * SAMPLE_BYTES) / 1000
    this.#mask = channels * SAMPLE_BYTES - 1
  }

  get counts(): AudioCounts {
    return {
      frames: this.frames,
      bytes: this.bytes,
      durationMs: Math.round(this.bytes / this.bytesPerMs),
      gapMs: this.gaps.total,
      maxGapMs: this.gaps.longest
    }
  }

  add(sink: AudioSink): void {
    this.#sinks = [...this.#sinks, sink]
  }

  remove(sink: AudioSink): void {
    this.#sinks = this.#sinks.filter((other) => other !== sink)
  }

  /** Binary messages that came together. Returns their audio in whole sample frames, which may be empty. */
  take(message: Buffer, messages: number, now: number): Buffer {
    this.frames += messages
    this.bytes += message.length
    const frame =
      this.#carry === undefined && (message.length & this.#mask) === 0 ? message : this.#align(message)
    if (this.#held.length > 0 && this.gaps.isDue(now)) this.#release()
    if (this.gaps.doubts(now, frame.length / this.bytesPerMs)) this.#hold(frame)
    else if (this.#held.length > 0) {
      this.#release()
      this.#write(frame, 0)
    } else this.#write(frame, 0)
    return frame
  }

  /** That was a batch. */
  rest(): void {
    for (const sink of this.#sinks) sink.rest?.()
  }

  /** ms that all sinks bear audio to be late */
  get maxDelay(): number {
    return Math.min(...this.#sinks.map(({ maxDelay = Infinity }) => maxDelay))
  }

  /** Nothing more comes: what was held back goes to the sinks. */
  end(): void {
    if (this.#held.length > 0) this.#release()
  }

  #write(frame: Buffer, gapMs: number): void {
    for (const sink of this.#sinks) sink.write(frame, gapMs)
  }

  #hold(frame: Buffer): void {
    this.#held.push(Buffer.from(frame))
    this.#heldBytes += frame.length
    if (this.#heldBytes > MAX_HELD) this.#release()
  }

  #release(): void {
    let gapMs = this.gaps.judge()
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    for (const frame of held) {
      this.#write(frame, gapMs)
      gapMs = 0
    }
  }

  // Messages that end within a sample frame: the rest waits for the next one.
  #align(message: Buffer): Buffer {
    const whole = this.#carry === undefined ? message : Buffer.concat([this.#carry, message])
    const rest = whole.length & this.#mask
    const end = whole.length - rest
    this.#carry = rest === 0 ? undefined : Buffer.from(whole.subarray(end))
    return whole.subarray(0, end)
  }
}
