import type { PauseMode } from '../socket/types.js'

export type RecorderState = 'recording' | 'paused' | 'finishing' | 'saved' | 'failed'

/** The recording of a stream, as the application controls it. */
export interface RecordingControl {
  readonly state: RecorderState
  /** why it failed */
  readonly error: Error | undefined
  /** From here on nothing is recorded; of what is said now, nothing ever reaches the disk. Default: silence. */
  pause(mode?: PauseMode): void
  resume(): void
}
