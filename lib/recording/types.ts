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
   * Copies audio, in whole sample frames of s16le. `gapMs`: ms of the call without audio before this audio. A
   * failed recording drops the audio.
   */
  write(frame: Buffer, gapMs: number): void
  /** Writes the audio gathered so far, as no more will arrive for a while. */
  rest(): void
  /**
   * maximum ms that the socket may hold audio back, so that a killed process loses no more than flushInterval
   */
  readonly maxDelay: number
  /**
   * Ends the recording. Resolves when the file is complete, closed and has its final name, and the sidecar is
   * written. Rejects with FST_JAMBONZ_RECORDING_*, with the part that was saved, if any, as
   * `error.recording`.
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
  /** beginning in the file, ms */
  atMs: number
  /** duration in the call, ms */
  durationMs: number
}

export interface Pause extends Interruption {
  mode: PauseMode
  /** ISO 8601 */
  startedAt: string
  /** ISO 8601; absent if the recording ended during the pause */
  endedAt?: string
}

/**
 * A gap. Its place is exact if it is at least as long as the time between two reads of the socket, which is up to 800 ms
 * if the recorder is alone on the stream. If not, the place may be wrong by half of the difference, which is at most
 * 300 ms.
 */
export interface Gap extends Interruption {
  /** true if the file contains silence of the same duration */
  filled: boolean
}

export type Done = (error?: Error | null) => void

/** The facts about a recording that the recorder knows at its end. */
export interface Summary {
  /** ISO 8601 */
  startedAt: string
  /** ISO 8601 */
  endedAt: string
  pauses: Pause[]
  gaps: Gap[]
  levels: Level[] | undefined
}

/** The destination of a recorder's audio. The recorder calls one operation at a time. */
export interface Output {
  /** name of the recording, for logs and errors */
  readonly name: string
  /** bytes of samples that were written */
  readonly dataBytes: number
  open(): Promise<void>
  /** Appends the first `length` bytes of `chunk`. The caller must not change them before `done`. */
  append(chunk: Buffer, length: number, done: Done): void
  /** Makes the audio appended so far durable, as far as the options ask, and playable. */
  checkpoint(done: Done): void
  /**
   * Writes the changed pauses and gaps, for a repair of the file, either at once (`now`) or at the next
   * checkpoint. Never fails.
   */
  note(summarize: () => Summary, now: boolean): void
  /** Resolves when the recording is complete in its place. */
  complete(listen: Listen, summary: Summary): Promise<FinishedRecording>
  /**
   * Compresses and delivers the complete recording, as far as the options ask. Resolves to the recording after that;
   * never rejects.
   */
  follow(listen: Listen, recording: FinishedRecording): Promise<FinishedRecording>
  /**
   * Saves the audio of a failed recording, if possible. `idle` resolves when the last operation has ended. If
   * the disk hangs, `idle` never resolves.
   */
  salvage(
    listen: Listen,
    summary: Summary,
    error: Error,
    idle: Promise<void>
  ): Promise<FinishedRecording | undefined>
  /** Closes the output without completing it. */
  abandon(): Promise<void>
}
