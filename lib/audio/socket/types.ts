import type { Readable } from 'node:stream'
import type { EndReason, PauseMode } from '../../model/schema.js'

/** Takes the audio of a stream, as a recorder or a meter does. */
export interface AudioSink {
  /**
   * Takes a frame at once. Must not throw, and must copy the part of `frame` that it keeps.
   * `frame`: L16 little-endian, whole sample frames. `gapMs`: ms of the call that are missing before `frame`, normally 0.
   * In batches, a gap that is shorter than the time between two reads is put in the middle of the audio it may be in.
   */
  write(frame: Buffer, gapMs: number): void
  /** Called after each batch, when no more audio comes for a while. */
  rest?(): void
  /**
   * Begins privacy. Audio that is written from now on is private. The sink writes silence (`silence`) or
   * nothing (`skip`) in place of this audio.
   */
  pause?(mode: PauseMode): void
  resume?(): void
  /** maximum ms that audio may be late for this sink, if it is fed in batches */
  readonly maxDelay?: number
}

export interface SinkOptions {
  /**
   * false if the sink may be fed in batches, up to 800 ms late, as the recorder is; true for at most 40 ms.
   * Default: true
   */
  live?: boolean
}

export interface StreamLimits {
  /** maximum bytes of one websocket message */
  maxPayload: number
  /** maximum ms from the upgrade until the listen is known */
  metadataTimeout: number
  /** ms between two pings; 0 sends none */
  heartbeat: number
  /** maximum bytes that are kept for a reader that is slower than the call */
  maxBuffered: number
  /**
   * true for the fast reader in lib/audio/socket/frames; false if ws reads the audio, through its public API
   * alone
   */
  fastReader: boolean
}

/** The end of a stream. */
export interface StreamEnd {
  reason: EndReason
  /** code of the websocket's close frame; 1006 if there was none */
  closeCode?: number
  error?: Error
}

/**
 * A key that the caller pressed. It comes only if the verb has `passDtmf`, which the plugin turns on itself
 * if a key can end the listen.
 */
export interface DtmfEvent {
  digit: string
  durationMs: number
  /** true if the call was private (`beginPrivacy`, `recording.pause`): do not store this key */
  private?: true
}

/** `playout`: the caller heard the audio before the mark. `cleared`: that audio was thrown away. */
export type MarkOutcome = 'playout' | 'cleared'

export interface MarkEvent {
  name: string
  event: MarkOutcome
}

/** The end of a file, which was played, stopped or never started. */
export interface PlayDone {
  id: string
  /**
   * ms of the file that the caller heard, from `lastOffset`, in steps of 20 ms; 0 if jambonz did not report
   * the end. The call's sample rate, which jambonz does not report, is learned from the first file that is
   * played whole. Before that, 8 kHz is assumed, unless the report of the file rules it out
   */
  heardMs: number
  /** ms of the file that jambonz read; for a stopped file up to 2,048 ms more than the caller heard */
  playbackMs: number
  /** samples that the caller heard, at the rate of the call, not of the file */
  lastOffset: number
  /**
   * `cleared`: the file was stopped or never started, by `clear()`, a later `play()` or the end of the listen
   */
  event: MarkOutcome
}

/** The events of an AudioStream: its own and those of a Duplex. */
export interface AudioStreamEvents {
  /**
   * Each frame, without flow control. It comes at once if the application speaks, and within 40 ms if not.
   * The buffer is shared, so do not change it.
   */
  audio: [frame: Buffer]
  dtmf: [dtmf: DtmfEvent]
  mark: [mark: MarkEvent]
  playDone: [done: PlayDone]
  /** JSON from jambonz that the plugin does not know */
  message: [message: unknown]
  /** L16, whole sample frames */
  data: [audio: Buffer]
  /** no more audio comes, even if nobody read it */
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
  newListener: [event: string | symbol]
  removeListener: [event: string | symbol]
}
