import type { PauseMode, RecordingControl } from '../audio/index.js'
import type { Call, Listen, MixType } from '../model/schema.js'
import type { FinishedRecording } from './schema.js'

/** What a recording needs to know of a stream. An AudioStream fits. */
export interface RecordedStream {
  callSid: string
  call: Call
  listen: Listen
  /** Hz */
  sampleRate: number
  channels: number
  mixType: MixType
}

/** One recording in the making. Its methods never throw and never block. */
export interface Recorder extends RecordingControl {
  /**
   * Takes audio: whole blocks of s16le, which are copied. `gapMs`: ms of the call that are missing before it.
   * Audio that can't be kept (a failed recording) is dropped.
   */
  write(frame: Buffer, gapMs: number): void
  /** Nothing comes for a while: what has gathered is written. */
  rest(): void
  /** ms that audio may come late, so that a killed process loses no more than flushInterval */
  readonly maxDelay: number
  /**
   * Ends it: resolves when the file is complete, closed and has its final name, with what the listen says in the
   * sidecar. Rejects with FST_JAMBONZ_RECORDING_*; `error.recording` then tells what part was saved, if any.
   */
  finish(listen: Listen): Promise<FinishedRecording>
}

/** A pause, or a gap in what arrived. */
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
