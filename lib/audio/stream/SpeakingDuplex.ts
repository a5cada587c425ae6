import { AudioDuplex } from './AudioDuplex.js'
import type { Output } from '../playback/Output.js'
import type { PlayOptions } from '../playback/Player.js'
import type { MarkOutcome, PlayDone } from '../socket/types.js'

/** The writable side of a stream: everything that makes the caller hear something. */
export abstract class SpeakingDuplex extends AudioDuplex {
  protected abstract get output(): Output

  /** Hz of what is written: the verb's `bidirectionalAudio.sampleRate` */
  get outputSampleRate(): number {
    return this.output.sampleRate
  }

  /** ms of what was written that jambonz has been given; what it threw away at a `clear()` no longer counts. */
  get sentMs(): number {
    return this.output.sentMs
  }

  /** ms of it that the caller has heard: as far as marks tell, by the clock between them. */
  get playedMs(): number {
    return this.output.playedMs
  }

  /** ms by which what is written goes out ahead of the caller's ear; true: 400. Default false: up to a minute. */
  get paced(): boolean | number {
    return this.output.aheadMs > 0 && this.output.aheadMs
  }

  set paced(ahead: boolean | number) {
    this.output.pace(ahead)
  }

  /** Has the end of what was written played too; happens by itself when nothing follows. */
  flush(): void {
    this.output.flush(() => {})
  }

  /**
   * Settles when the caller has heard what was written so far, or never will: `clear()`, the end of the listen.
   * Rejects with FST_JAMBONZ_AUDIO_MODE without streaming, and logs it, as nobody need wait for it.
   */
  mark(name: string): Promise<MarkOutcome> {
    return this.output.mark(name)
  }

  /** Settles all marks as `cleared`; the audio plays on. */
  clearMarks(): void {
    this.output.clearMarks()
  }

  /**
   * Plays a file: a WAV of any rate, or raw L16. Settles when it has been played or stopped. Rejects with
   * FST_JAMBONZ_AUDIO_MODE with streaming, FST_JAMBONZ_AUDIO_FILE for what can't be played, and logs it, as nobody
   * need wait for it.
   */
  play(audio: Uint8Array, options: PlayOptions = {}): Promise<PlayDone> {
    return this.output.play(audio, options)
  }

  /** Barge-in: stops what is being played at once and drops what was written or queued. */
  clear(): void {
    this.output.clear()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.output.write(chunk, callback)
  }

  override _final(callback: () => void): void {
    this.output.flush(callback)
  }
}
