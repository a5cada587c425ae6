import { mix, samplesOf } from '../audio/pcm.js'
import { Resampler } from '../audio/resampler.js'
import { SampleQueue } from '../media/samples.js'

/**
 * Samples to buffer before the playout starts, and samples of each later piece, at the call's rate: 160 and 80 ms at
 * 8 kHz. At another streamed rate, both are multiplied by streamed rate / call rate.
 */
const START_SAMPLES = 1_280
const LOT_SAMPLES = 640
/** The value of the sample that stands for a mark inside the audio (0xFFFF). */
const MARKER = -1
/** The most marks that may wait at a time. The module drops further marks, and reports nothing. */
const MAX_MARKS = 30

export type MarkEvent = 'playout' | 'cleared'

/**
 * Plays streamed audio to the caller as mod_audio_fork does (lws_glue.cpp: processIncomingBinary, dub_speech_frame).
 * Buffers audio before the playout starts, plays pieces of a fixed length, and keeps marks as samples inside the audio.
 */
export class StreamingPlayout {
  readonly #report: (name: string, event: MarkEvent) => void
  readonly #factor: number
  readonly #resampler: Resampler | undefined
  readonly #playing = new SampleQueue()
  #prebuffer: Int16Array[] = []
  #prebuffered = 0
  #threshold: number
  #oddByte: Buffer = Buffer.alloc(0)
  #clearing = false
  // Marks that are not inside the audio yet, marks inside it, and marks that were cleared while inside it.
  #inventory: string[] = []
  #inUse: string[] = []
  #stale: string[] = []
  #frame = new Int16Array(0)

  constructor(rate: number, callRate: number, report: (name: string, event: MarkEvent) => void) {
    this.#report = report
    this.#factor = rate > callRate ? Math.floor(rate / callRate) : 1
    this.#resampler = rate === callRate ? undefined : new Resampler(rate, callRate)
    this.#threshold = START_SAMPLES * this.#factor
  }

  /** Samples that are ready to be played, without the samples in the prebuffer. */
  get ready(): number {
    return this.#playing.length
  }

  /**
   * Samples in the prebuffer, at the streamed rate. They are not played until more audio comes. 0 if all are silence.
   */
  get heldBack(): number {
    return this.#prebuffer.some((chunk) => chunk.some((sample) => sample !== 0)) ? this.#prebuffered : 0
  }

  binary(bytes: Buffer): void {
    const all = this.#oddByte.length > 0 ? Buffer.concat([this.#oddByte, bytes]) : bytes
    this.#oddByte = all.length % 2 === 1 ? all.subarray(all.length - 1) : Buffer.alloc(0)
    this.#prebuffer.push(new Int16Array(this.#inventory.length).fill(MARKER), samplesOf(all))
    this.#prebuffered += this.#inventory.length + Math.floor(all.length / 2)
    this.#inUse.push(...this.#inventory)
    this.#inventory = []
    if (this.#prebuffered < this.#threshold) return
    this.#threshold = LOT_SAMPLES * this.#factor
    this.#release()
  }

  /** Adds a mark. Returns false if the mark was dropped, because MAX_MARKS wait already. */
  mark(name: string): boolean {
    if (this.#inUse.length + this.#inventory.length >= MAX_MARKS) return false
    this.#inventory.push(name)
    return true
  }

  /** Drops all audio, but only when the next frame is played, as the module does. */
  killAudio(): void {
    this.#clearing = true
  }

  clearMarks(): void {
    this.#stale.push(...this.#inUse, ...this.#inventory)
    this.#inUse = []
    this.#inventory = []
  }

  /** Adds one frame to the audio that the caller hears. */
  render(into: Int16Array): void {
    if (this.#clearing) return this.#clear()
    if (this.#frame.length !== into.length) this.#frame = new Int16Array(into.length)
    const frame = this.#frame
    const count = this.#playing.take(frame)
    if (this.#inUse.length + this.#stale.length > 0) {
      mix(into, frame, this.#dropMarkers(frame, count))
    } else if (count > 0) {
      mix(into, frame, count)
    } else if (this.#inventory.length > 0) {
      this.#report(this.#inventory.shift()!, 'playout')
    }
  }

  #release(): void {
    const all = new Int16Array(this.#prebuffered)
    let at = 0
    for (const chunk of this.#prebuffer) {
      all.set(chunk, at)
      at += chunk.length
    }
    const whole = all.length - (all.length % this.#factor)
    const leftover = all.subarray(whole)
    this.#prebuffer = [leftover]
    this.#prebuffered = leftover.length
    const samples = all.subarray(0, whole)
    this.#playing.push(this.#resampler?.process(samples) ?? samples)
  }

  // While a mark waits, the module takes every sample of this value for a mark.
  #dropMarkers(frame: Int16Array, count: number): number {
    let kept = 0
    for (let i = 0; i < count; i++) {
      const sample = frame[i]!
      if (sample !== MARKER) {
        frame[kept++] = sample
      } else if (this.#stale.length > 0) {
        this.#stale.shift()
      } else if (this.#inUse.length > 0) {
        this.#report(this.#inUse.shift()!, 'playout')
      }
    }
    return kept
  }

  #clear(): void {
    this.#clearing = false
    this.#playing.clear()
    for (const name of [...this.#inUse, ...this.#inventory]) this.#report(name, 'cleared')
    this.#stale.push(...this.#inUse)
    this.#inUse = []
    this.#inventory = []
  }
}
