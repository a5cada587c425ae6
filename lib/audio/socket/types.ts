import type { Readable } from 'node:stream'
import type { EndReason } from '../../model/schema.js'

/** `silence`: the paused time is in the file, as silence. `skip`: it is not. */
export type PauseMode = 'silence' | 'skip'

/** Takes the audio of a stream: a recorder, a meter. */
export interface AudioSink {
  /**
   * Synchronous, never throws, never keeps `frame` (copy what you keep).
   * `frame`: L16 little-endian, whole sample frames. `gapMs`: ms of the call that are missing before it, normally 0.
   */
  write(frame: Buffer, gapMs: number): void
  /** Nothing more comes for a while: the sink is fed in batches, and this was one. */
  rest?(): void
  /**
   * Begins privacy: audio written from here on is private. `silence`: it is written as silence; `skip`: it is not
   * written.
   */
  pause?(mode: PauseMode): void
  resume?(): void
  /** ms that audio may come late to a sink that is fed in batches */
  readonly maxDelay?: number
}

export interface SinkOptions {
  /** false: may be fed in batches, up to 800 ms late (the recorder). Default true */
  live?: boolean
}

export interface StreamLimits {
  /** bytes of one websocket message */
  maxPayload: number
  /** ms from the upgrade to the moment the listen is known */
  metadataTimeout: number
  /** ms between two pings; 0 sends none */
  heartbeat: number
  /** bytes kept for a reader that is slower than the call */
  maxBuffered: number
  /** false: ws reads the audio, by its public API alone */
  fastReader: boolean
}

/** How a stream ended. */
export interface StreamEnd {
  reason: EndReason
  /** as it came in the websocket's close frame, or 1006 */
  closeCode?: number
  error?: Error
}

/** A key that the caller pressed (the verb needs `passDtmf`, which the plugin turns on where it ends a listen by key). */
export interface DtmfEvent {
  digit: string
  durationMs: number
  /** It was pressed in private (`beginPrivacy`, `recording.pause`): do not note it down. */
  private?: true
}

/** `playout`: the caller has heard what was sent before the mark. `cleared`: it was thrown away. */
export type MarkOutcome = 'playout' | 'cleared'

export interface MarkEvent {
  name: string
  event: MarkOutcome
}

/** A file that was played, or stopped. */
export interface PlayDone {
  id: string
  /**
   * ms of the file that the caller heard, from `lastOffset`, to the tick of 20 ms. The call's rate, which jambonz does
   * not tell, is learned from a file that was played whole; before, 8 kHz, where nothing speaks against it. 0 where
   * jambonz did not report the end
   */
  heardMs: number
  /** ms that jambonz read of the file: of one that was stopped up to 2,048 more than was heard */
  playbackMs: number
  /** samples that the caller heard, at the rate of the call, whatever the file's */
  lastOffset: number
  /** `cleared`: stopped, or never started: `clear()`, a later `play()`, the end of the listen */
  event: MarkOutcome
}

/** The stream's own events, and those of a Duplex. */
export interface AudioStreamEvents {
  /** every frame, as it arrives, without flow control; the buffer is shared: don't change it */
  audio: [frame: Buffer]
  dtmf: [dtmf: DtmfEvent]
  mark: [mark: MarkEvent]
  playDone: [done: PlayDone]
  /** JSON from jambonz that means nothing to the plugin */
  message: [message: unknown]
  /** L16, whole sample frames */
  data: [audio: Buffer]
  /** no audio comes any more, whether anybody read it or not */
  end: []
  close: []
  error: [error: Error]
  drain: []
  finish: []
  pause: []
  readable: []
  resume: []
  pipe: [source: Readable]
  unpipe: [source: Readable]
}
