import type { AudioCounts, PauseMode } from '../../model/schema.js'
import { GapMeter, type DoubtedAudio, type LoopTurns } from './GapMeter.js'
import type { AudioSink } from './types.js'
import { SAMPLE_BYTES } from '../../pcm/samples.js'

/** Maximum bytes of audio that may gather in the kernel between two reads. */
const MAX_BATCH = 32_768
/** Maximum bytes of audio that are held back from the sinks while a gap is in doubt. */
const MAX_HELD = 1_048_576
/** ms after a pause in which missing audio counts as late, if the socket was not read during the pause. */
const MAX_BEHIND = 30_000
/**
 * ms over which the arrival rate is measured after a pause. Audio that was not read during the pause arrives faster
 * than real time. All of it has arrived when the rate falls to real time.
 */
const CATCH_UP_WINDOW = 200
const CATCH_UP_RATE = 1.5

// Three special values of #pauseEnds, whose other values are times on the clock of the GapMeter.

/** `resume()` was not called. */
const NOT_ENDED = undefined
/** `resume()` was called; the time will be known when the late audio has arrived. */
const WHEN_CAUGHT_UP = Infinity
/** `resume()` was called, and no audio is late, so the next frame is the first after the pause. */
const WITH_NEXT_FRAME = -Infinity

interface Held extends DoubtedAudio {
  frame: Buffer
  /** where the frame begins on the clock of the GapMeter, ms */
  at: number
}

/**
 * Feeds the sinks of a stream. Cuts binary messages of any size into whole sample frames, counts them, and
 * gives them to the sinks. Allocates nothing per frame if messages have whole sample frames, as jambonz'
 * messages do.
 */
export class AudioFeed {
  frames = 0
  bytes = 0
  readonly gaps = new GapMeter()
  readonly bytesPerMs: number
  readonly #mask: number
  #sinks: readonly AudioSink[] = []
  #carry: Buffer | undefined
  // true while audio may be missing before the latest frames. #held has the frames that the sinks have not got.
  #inDoubt = false
  #held: Held[] = []
  #heldBytes = 0
  // ms of a gap that was found after the frames behind it were handed over. It is added to the next gap.
  #owedGap = 0
  #pause: PauseMode | undefined
  // Time on the clock of the GapMeter, ms, at which the pause ends, or one of the constants above. Later
  // audio is not part of the pause.
  #pauseEnds: number | typeof NOT_ENDED = NOT_ENDED
  #endsWithinMessage = false
  // Time, ms, until which audio counts as late, because the socket was not read.
  #behindUntil = 0
  #windowAt = 0
  #windowMs = 0

  readonly #onResumed: () => void
  readonly #turns: Pick<LoopTurns, 'begin' | 'end' | 'maxWait'>

  /** `onResumed`: called when a pause is over and all audio that was said in it has arrived. */
  constructor(
    sampleRate: number,
    channels: number,
    onResumed: () => void,
    turns: Pick<LoopTurns, 'begin' | 'end' | 'maxWait'>
  ) {
    this.#onResumed = onResumed
    this.#turns = turns
    turns.begin()
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

  /** ms of audio that has arrived, gaps included */
  get receivedMs(): number {
    return this.bytes / this.bytesPerMs + this.gaps.total
  }

  /** true while the sinks are paused, and while audio that was said in the pause still arrives. */
  get isPaused(): boolean {
    return this.#pause !== undefined
  }

  /** Adds a sink. `first`: true if this sink gets each frame before the other sinks, which use its result. */
  add(sink: AudioSink, first = false): void {
    this.#sinks = first ? [sink, ...this.#sinks] : [...this.#sinks, sink]
    if (this.#pause !== undefined) sink.pause?.(this.#pause)
  }

  remove(sink: AudioSink): void {
    this.#sinks = this.#sinks.filter((other) => other !== sink)
  }

  /**
   * Takes binary messages that arrived together. Returns their audio in whole sample frames, which may be
   * none.
   */
  take(message: Buffer, messages: number, now: number): Buffer {
    this.frames += messages
    this.bytes += message.length
    const frame =
      this.#carry === undefined && (message.length & this.#mask) === 0 ? message : this.#align(message)
    const at = this.gaps.clock
    const ms = frame.length / this.bytesPerMs
    const doubtful = this.gaps.doubts(now, ms)
    if (this.#endsWithinMessage) this.#endWithin(this.gaps.clock)
    if (this.#behindUntil > 0) this.#catchUp(now, ms)
    if (doubtful && now >= this.#behindUntil) this.#hold(frame, at, now)
    else {
      if (this.#inDoubt && !doubtful) this.#endDoubt()
      this.#inDoubt = doubtful
      this.#write(frame, at)
    }
    return frame
  }

  /** true while the sinks wait for frames, because it is not clear whether audio is missing before them. */
  get holdsBack(): boolean {
    return this.#held.length > 0
  }

  /** Pauses the sinks, after they got the frames that they waited for. Returns false if they are paused already. */
  pause(mode: PauseMode): boolean {
    if (this.#pause === mode && this.#pauseEnds === NOT_ENDED && !this.#endsWithinMessage) return false
    this.#flush()
    if (this.#pause !== undefined) this.#endPause()
    this.#pause = mode
    for (const sink of this.#sinks) sink.pause?.(mode)
    return true
  }

  /**
   * Ends the pause. Audio that was said in the pause and arrives late still belongs to the pause.
   * `withinMessage`: true if a message has arrived in part, which then belongs to the pause, too. `isBehind`:
   * true if the socket was not read for a while.
   */
  resume(now: number, withinMessage: boolean, isBehind: boolean): void {
    if (this.#pause === undefined) return
    this.#flush()
    this.#carry?.fill(0)
    const lateUntil = isBehind ? WHEN_CAUGHT_UP : this.gaps.saidUntil(now)
    if (lateUntil === undefined && !withinMessage) return this.#endPause()
    this.#pauseEnds = lateUntil ?? WITH_NEXT_FRAME
    this.#endsWithinMessage = withinMessage
    this.#behindUntil = isBehind ? now + MAX_BEHIND : 0
    this.#windowAt = now
    this.#windowMs = 0
  }

  /**
   * Returns the latest time, ms, at which the socket was surely open, if its close is read at `now`: when its last audio
   * arrived, or when it was last read.
   */
  openUntil(now: number): number {
    const { earliest, readMs } = this.gaps
    const readAt = now - this.#turns.maxWait(now, readMs)
    // Audio that comes faster than real time does not tell when it arrived.
    return earliest <= now ? Math.max(earliest, readAt) : readAt
  }

  /** Tells the sinks that the batch is complete. */
  rest(): void {
    for (const sink of this.#sinks) sink.rest?.()
  }

  /** ms that audio may gather in the kernel between two reads, as far as the sinks allow */
  get maxBatchMs(): number {
    return Math.min(MAX_BATCH / this.bytesPerMs, ...this.#sinks.map(({ maxDelay = Infinity }) => maxDelay))
  }

  /** Gives the sinks the frames that they waited for, since no more audio comes. Called once. */
  end(): void {
    this.#turns.end()
    if (this.#inDoubt) this.gaps.end(this.#held)
    while (this.#inDoubt) this.#judge()
  }

  #write(frame: Buffer, at: number): void {
    if (this.#pauseEnds !== NOT_ENDED && at >= this.#pauseEnds) this.#endPause()
    const missing = this.#owedGap
    this.#owedGap = 0
    for (const sink of this.#sinks) sink.write(frame, missing)
  }

  #endPause(): void {
    this.#pause = undefined
    this.#pauseEnds = NOT_ENDED
    this.#endsWithinMessage = false
    this.#behindUntil = 0
    for (const sink of this.#sinks) sink.resume?.()
    this.#onResumed()
  }

  #catchUp(now: number, ms: number): void {
    this.#windowMs += ms
    const window = now - this.#windowAt
    if (window < CATCH_UP_WINDOW) return
    if (this.#windowMs <= window * CATCH_UP_RATE || now >= this.#behindUntil) {
      this.#pauseEnds = this.gaps.saidUntil(now) ?? WITH_NEXT_FRAME
    }
    this.#windowAt = now
    this.#windowMs = 0
  }

  // Called when a message is complete of which only a part had arrived at the end of the pause.
  #endWithin(clock: number): void {
    this.#endsWithinMessage = false
    this.#pauseEnds = Math.max(this.#pauseEnds ?? WITH_NEXT_FRAME, clock)
  }

  #hold(frame: Buffer, at: number, now: number): void {
    this.#inDoubt = true
    const waited = this.#turns.maxWait(now, this.gaps.readMs)
    this.#held.push({ frame: Buffer.from(frame), at, now, late: this.gaps.late, waited })
    this.#heldBytes += frame.length
    while (this.#inDoubt && (this.gaps.isDue(now) || this.#heldBytes > MAX_HELD)) this.#judge()
  }

  // Judges the gap in doubt, and gives the sinks the frames that are settled. The other frames stay in doubt. If it is
  // not known where among several frames a gap is, the gap is put in the middle of these frames.
  #judge(): void {
    const held = this.#held
    const { ms, from, to, settled } = this.gaps.judgeWithin(held)
    this.#held = held.slice(settled)
    this.#heldBytes = bytesOf(this.#held)
    this.#inDoubt = this.#held.length > 0
    const ready = held.slice(0, settled)
    if (ms === 0) return this.#writeAll(ready)
    let before = bytesOf(held.slice(0, from)) + this.#whole(bytesOf(held.slice(from, to)) / 2)
    let gap = ms
    for (const { frame, at } of ready) {
      if (before >= frame.length) {
        this.#write(frame, at)
        before -= frame.length
        continue
      }
      if (before > 0) this.#write(frame.subarray(0, before), at)
      this.#owedGap += gap
      gap = 0
      this.#write(frame.subarray(before), at)
      before = 0
    }
    this.#owedGap += gap
  }

  // Ends the doubt, since no audio is late any more.
  #endDoubt(): void {
    this.#inDoubt = false
    this.#owedGap += this.gaps.judge()
    this.#flush()
  }

  // A gap may still be in doubt. If it is found later, it is reported with the next frame. The frames keep
  // their places on the clock, since it is not known whether the gap is before or behind them. If it is
  // behind them, the end of a pause may be in between.
  #flush(): void {
    if (this.#held.length === 0) return
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    this.#writeAll(held)
  }

  #writeAll(held: readonly Held[]): void {
    for (const { frame, at } of held) this.#write(frame, at)
  }

  // Keeps the rest of a message that ends within a sample frame, and puts it before the next message.
  #align(message: Buffer): Buffer {
    const whole = this.#carry === undefined ? message : Buffer.concat([this.#carry, message])
    const end = this.#whole(whole.length)
    this.#carry = end === whole.length ? undefined : Buffer.from(whole.subarray(end))
    return whole.subarray(0, end)
  }

  /** Returns `bytes` without the part that is no whole sample frame. */
  #whole(bytes: number): number {
    return bytes & ~this.#mask
  }
}

function bytesOf(held: readonly Held[]): number {
  return held.reduce((sum, { frame }) => sum + frame.length, 0)
}
