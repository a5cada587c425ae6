import type { Listen } from '../model/schema.js'
import type { Level } from '../pcm/Levels.js'
import type { FinishedRecording } from './schema.js'
import type { Gap, Pause } from './types.js'

export type Done = (error?: Error | null) => void

/** What the recorder knows of a recording when it ends. */
export interface Summary {
  /** ISO 8601 */
  startedAt: string
  /** ISO 8601 */
  endedAt: string
  pauses: Pause[]
  gaps: Gap[]
  levels: Level[] | undefined
}

/** Where a recorder's audio goes. It is asked for one thing at a time. */
export interface Output {
  /** for logs and errors */
  readonly name: string
  /** bytes of samples that are there */
  readonly dataBytes: number
  open(): Promise<void>
  /** The first `length` bytes of `chunk`, which stays as it is until `done`. */
  append(chunk: Buffer, length: number, done: Done): void
  /** What was appended is made to last, as far as is asked for, and can be played. */
  checkpoint(done: Done): void
  /** Pauses or gaps have changed: a note for whoever repairs the file, made `now` or at the next checkpoint. Never fails. */
  note(summarize: () => Summary, now: boolean): void
  /** Resolves when the recording is complete in its place. */
  complete(listen: Listen, summary: Summary): Promise<FinishedRecording>
  /** What is done with it once it is complete. Never rejects; resolves to what the recording then is. */
  follow(listen: Listen, recording: FinishedRecording): Promise<FinishedRecording>
  /** The recording failed: saves what is there, if it can. `idle`: what it was asked for before is done; it may never be. */
  salvage(
    listen: Listen,
    summary: Summary,
    error: Error,
    idle: Promise<void>
  ): Promise<FinishedRecording | undefined>
  /** Lets go of it as it is. */
  abandon(): Promise<void>
}
