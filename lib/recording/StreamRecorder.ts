import type { FastifyBaseLogger } from 'fastify'
import { isError } from '../model/json.js'
import { checkOptions } from '../model/checkOptions.js'
import { PauseModeSchema, type Listen, type PauseMode } from '../model/schema.js'
import { ERR_RECORDING_CLOSED, ERR_RECORDING_WRITE } from '../model/errors.js'
import { isoTime, withinMs } from '../model/time.js'
import { BlockWriter, type BlockWriterDeps } from './BlockWriter.js'
import type { Output, Summary, RecordingError, RecordedStream, Recorder, Gap, Pause } from './types.js'
import { reasonOf } from './directory/files.js'
import type { FinishedRecording } from '../model/recording.js'
import type { RecorderState, LiveStream, RecordingControl } from '../audio/stream/LiveStream.js'
import { durationOf, bytesOf, type WavFormat } from '../pcm/wavHeader.js'

/** ms that a recording may take to save its audio after it failed, or while the server closes */
const SALVAGE_TIMEOUT = 2_000
/**
 * The part of the flush interval that may pass between two batches. The rest is left for the timer's tick and
 * the disk.
 */
const BATCH_PART = 0.8
/** ms between two batches if gaps are filled, since the position of a gap is exact only to one batch */
const PRECISE_DELAY = 200

export interface RecorderDeps extends BlockWriterDeps {
  logger: FastifyBaseLogger
  /** Called once, as soon as the recording fails. The call may go on for long. */
  onFailed: (error: RecordingError) => void
  /** Called once, when finish() or abandon() has done all its work. */
  onEnded: () => void
}

/**
 * The recorder of one stream. write() only copies the audio. If the output hangs, fails or is too slow, this recording
 * fails, and nothing else.
 */
export class StreamRecorder implements Recorder {
  readonly #stream: RecordedStream
  readonly #deps: RecorderDeps
  readonly #output: Output
  readonly #writer: BlockWriter
  readonly #timeline: Timeline
  readonly #startedAt = isoTime()
  #endedAt: string | undefined
  readonly #summarize = (): Summary => {
    const { pauses, gaps } = this.#timeline
    return {
      startedAt: this.#startedAt,
      endedAt: this.#endedAt ?? isoTime(),
      pauses,
      gaps,
      levels: this.#writer.levels
    }
  }

  readonly maxDelay: number
  #state: RecorderState = 'recording'
  #error: RecordingError | undefined
  #finished: Promise<FinishedRecording> | undefined
  #onError: ((error: Error) => void) | undefined

  constructor(stream: RecordedStream, output: Output, deps: RecorderDeps) {
    this.#stream = stream
    this.#output = output
    this.#deps = deps
    this.maxDelay = deps.options.fillGaps ? PRECISE_DELAY : deps.options.flushInterval * BATCH_PART
    this.#timeline = new Timeline(stream)
    this.#writer = new BlockWriter(stream, output, deps, (cause) => this.#fail(cause))
  }

  get state(): RecorderState {
    return this.#state
  }

  get error(): RecordingError | undefined {
    return this.#error
  }

  write(frame: Buffer, gapMs: number): void {
    if (this.#state === 'recording' && gapMs === 0) {
      this.#timeline.advance(frame.length)
      this.#writer.append(frame)
    } else if (this.#state === 'recording' || this.#state === 'paused') {
      this.#writeAround(frame, gapMs)
    }
  }

  rest(): void {
    this.#writer.flush()
  }

  pause(mode: PauseMode = 'silence'): void {
    if (this.#state !== 'recording') return
    this.#state = 'paused'
    this.#timeline.beginPause(mode)
    this.#output.note(this.#summarize, true)
  }

  resume(): void {
    if (this.#state !== 'paused') return
    this.#state = 'recording'
    this.#timeline.endPause()
    this.#output.note(this.#summarize, true)
  }

  finish(listen: Listen): Promise<FinishedRecording> {
    this.#endedAt ??= isoTime()
    this.#finished ??= this.#finish(listen).finally(this.#deps.onEnded)
    return this.#finished
  }

  /** Closes the file without completing it, since the next start repairs it. Never rejects. */
  async abandon(): Promise<void> {
    if (this.#finished) {
      await this.#finished.catch(() => {})
      return
    }
    this.#finished = Promise.reject(
      this.#error ??
        new ERR_RECORDING_CLOSED(
          this.#output.name,
          'the server was closed before the stream ended. The next start completes it'
        )
    )
    this.#finished.catch(() => {})
    if (this.#state !== 'failed') this.#state = 'finishing'
    const drained = await withinMs(
      SALVAGE_TIMEOUT,
      this.#writer.drain().then(() => true)
    )
    this.#end('failed')
    // If the writer could not be drained, the disk hangs and a write is under way, so the file must stay
    // open.
    if (drained) await this.#output.abandon().catch(() => {})
    this.#deps.onEnded()
  }

  async #finish(listen: Listen): Promise<FinishedRecording> {
    if (this.#state === 'recording' || this.#state === 'paused') this.#state = 'finishing'
    await this.#unlessFailed(this.#writer.drain())
    if (this.#error) throw await this.#salvage(listen, this.#error)
    try {
      const recording = await this.#unlessFailed(
        this.#writer.guard(this.#output.complete(listen, this.#summarize()))
      )
      if (recording === undefined) throw this.#error
      this.#end('saved')
      return await this.#output.follow(listen, recording)
    } catch (error) {
      throw this.#fail(error)
    }
  }

  async #salvage(listen: Listen, error: RecordingError): Promise<RecordingError> {
    const saved = this.#output.salvage(listen, this.#summarize(), error, this.#writer.idle())
    error.recording = await withinMs(
      SALVAGE_TIMEOUT,
      // If only the sidecar could not be written, the error has the part that was saved.
      saved.catch((failed: RecordingError) => failed.recording)
    )
    return error
  }

  /** Handles a frame during a pause or after a gap. */
  #writeAround(frame: Buffer, gapMs: number): void {
    const mode = this.#timeline.pauseMode
    if (mode !== undefined) this.#timeline.extendPause(durationOf(this.#stream, frame.length) + gapMs)
    if (mode === 'skip') return
    if (gapMs > 0) {
      this.#silence(this.#timeline.addGap(gapMs, this.#deps.options.fillGaps))
      this.#output.note(this.#summarize, false)
    }
    if (mode === 'silence') return this.#silence(frame.length)
    this.#timeline.advance(frame.length)
    this.#writer.append(frame)
  }

  #silence(bytes: number): void {
    this.#timeline.advance(bytes)
    this.#writer.silence(bytes)
  }

  #fail(cause: unknown): RecordingError {
    if (this.#error) return this.#error
    const error = asRecordingError(cause, this.#output.name)
    this.#error = error
    this.#end('failed')
    this.#deps.logger.error({ err: error }, 'recording failed, the call goes on without it')
    this.#onError?.(error)
    this.#deps.onFailed(error)
    return error
  }

  #end(state: 'saved' | 'failed'): void {
    this.#state = state
    this.#writer.stop()
  }

  /**
   * Resolves to the operation's result, or to undefined as soon as the recording has failed, so that finish() does not
   * wait for an operation that hangs.
   */
  #unlessFailed<T>(operation: Promise<T>): Promise<T | undefined> {
    if (this.#error) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      this.#onError = () => resolve(undefined)
      operation.then(resolve, reject)
    })
  }
}

function asRecordingError(cause: unknown, name: string): RecordingError {
  if (isError(cause) && 'code' in cause && String(cause.code).startsWith('FST_JAMBONZ_')) {
    return cause as RecordingError
  }
  return new ERR_RECORDING_WRITE(name, reasonOf(cause), { cause })
}

/** Maximum number of pauses, and of gaps, in the lists. Further pauses and gaps are not listed. */
const MAX_LISTED = 500

/** The pauses of a recording and the gaps in the audio that arrived, with their positions. */
export class Timeline {
  readonly #format: WavFormat
  readonly #pauses: Pause[] = []
  readonly #gaps: Gap[] = []
  #pause: Pause | undefined
  /** bytes of the recording so far, silence included */
  #bytes = 0
  /** ms lost so far by rounding gaps to whole samples; they are added to the next gap */
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
    this.#pause = { atMs: this.#atMs, durationMs: 0, mode, startedAt: isoTime() }
    if (this.#pauses.length < MAX_LISTED) this.#pauses.push(this.#pause)
  }

  /** Adds `ms` of the call to the pause. */
  extendPause(ms: number): void {
    if (this.#pause) this.#pause.durationMs += ms
  }

  endPause(): void {
    if (this.#pause) this.#pause.endedAt = isoTime()
    this.#pause = undefined
  }

  /** Notes a gap in the audio. Returns the bytes of silence to write for it; 0 if gaps are not filled. */
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

/**
 * The `stream.recording` of the application. To pause the recording is to pause the stream, so that
 * recorder, monitors and handler all know of the pause.
 */
export class StreamRecordingControl implements RecordingControl {
  readonly #recorder: Recorder
  readonly #live: LiveStream
  readonly pause = (mode: PauseMode = 'silence'): void => {
    checkOptions(PauseModeSchema, mode, 'recording.pause(): the mode')
    this.#live.beginPrivacy(mode)
  }

  readonly resume = (): void => this.#live.endPrivacy()

  constructor(recorder: Recorder, live: LiveStream) {
    this.#recorder = recorder
    this.#live = live
  }

  get state(): RecorderState {
    const { state } = this.#recorder
    if (state !== 'recording' && state !== 'paused') return state
    return this.#live.privacy === false ? 'recording' : 'paused'
  }

  get error(): Error | undefined {
    return this.#recorder.error
  }
}
