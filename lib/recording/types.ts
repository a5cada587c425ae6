import type { RecordingControl } from '../audio/stream/LiveStream.js'
import type { Call, Listen, MixType, PauseMode } from '../model/schema.js'
import type { Level } from '../pcm/samples.js'
import type { FinishedRecording } from '../model/recording.js'

/** The part of a stream that a recording uses. An AudioStream fits. */
export interface RecordedStream {
  callSid: string
  call: Call
  listen: Listen
  /** Hz */
  sampleRate: number
  channels: number
  mixType: MixType
}

/** One recording in progress. Its methods never throw and never block. */
export interface Recorder extends RecordingControl {
  /**
   * Takes audio: whole blocks of s16le, which are copied. `gapMs`: ms of the call that are missing before it.
   * Audio that can't be kept (a failed recording) is dropped.
   */
  write(frame: Buffer, gapMs: number): void
  /** Writes the audio gathered so far: no more comes for a while. */
  rest(): void
  /** ms that audio may come late, so that a killed process loses no more than flushInterval */
  readonly maxDelay: number
  /**
   * Ends the recording. Resolves when the file is complete, closed and has its final name, and the sidecar holds the
   * listen. Rejects with FST_JAMBONZ_RECORDING_*; `error.recording` is then the part that was saved, if any.
   */
  finish(listen: Listen): Promise<FinishedRecording>
}

/** An error of a recording; `recording` is the part that was saved before it failed. */
export interface RecordingError extends Error {
  code: string
  recording?: FinishedRecording
}

/** A pause, or a gap in the audio that arrived. */
export interface Interruption {
  /** where it begins in the file, ms */
  atMs: number
  /** of the call, ms */
  durationMs: number
}

export interface Pause extends Interruption {
  mode: PauseMode
  /** ISO 8601 */
  startedAt: string
  /** ISO 8601; absent when the recording ended in the pause */
  endedAt?: string
}

export interface Gap extends Interruption {
  /** silence stands for it in the file */
  filled: boolean
}

export type Done = (error?: Error | null) => void

/** The facts that the recorder has about a recording at its end. */
export interface Summary {
  /** ISO 8601 */
  startedAt: string
  /** ISO 8601 */
  endedAt: string
  pauses: Pause[]
  gaps: Gap[]
  levels: Level[] | undefined
}

/** The destination of a recorder's audio. The recorder asks for one thing at a time. */
export interface Output {
  /** for logs and errors */
  readonly name: string
  /** bytes of samples that are there */
  readonly dataBytes: number
  open(): Promise<void>
  /** Appends the first `length` bytes of `chunk`, which the caller does not change before `done`. */
  append(chunk: Buffer, length: number, done: Done): void
  /** Makes the audio appended so far durable, as far as the options ask, and playable. */
  checkpoint(done: Done): void
  /** Notes the changed pauses and gaps, for a repair of the file; `now`, or at the next checkpoint. Never fails. */
  note(summarize: () => Summary, now: boolean): void
  /** Resolves when the recording is complete in its place. */
  complete(listen: Listen, summary: Summary): Promise<FinishedRecording>
  /**
   * Compresses or delivers the complete recording, if asked for. Never rejects; resolves to the recording as it is
   * then.
   */
  follow(listen: Listen, recording: FinishedRecording): Promise<FinishedRecording>
  /**
   * Saves the audio of a failed recording, if possible. `idle` resolves when the operation before is done, which may
   * never be.
   */
  salvage(
    listen: Listen,
    summary: Summary,
    error: Error,
    idle: Promise<void>
  ): Promise<FinishedRecording | undefined>
  /** Closes the output as it is. */
  abandon(): Promise<void>
}
