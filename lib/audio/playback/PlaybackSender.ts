import { SAMPLE_BYTES, silenceOf } from '../../pcm/samples.js'
import { writeCommand, type AudioCommand } from '../socket/messages.js'
import type { ListenSocket } from '../socket/ListenSocket.js'
import type { HeardTrack } from './HeardTrack.js'
import type { Marks } from './Marks.js'
import type { PlayoutModel } from './PlayoutModel.js'

/**
 * Maximum ms of audio that jambonz may have ahead of its playout. With more audio jambonz would stall, since
 * one of its threads serves all calls.
 */
const MAX_AHEAD = 60_000
/** maximum bytes of one message, since a `killAudio` would wait behind a longer message */
const MAX_MESSAGE = 32_768
/** bytes that may wait in the process to be sent; with more, the sender is blocked */
const MAX_UNSENT = 131_072

export interface PlaybackSenderOptions {
  /** Hz of the audio sent to jambonz */
  rate: number
  socket: Pick<ListenSocket, 'send' | 'sendText' | 'unsent' | 'speed'>
  /** gets all audio that is sent */
  track: HeardTrack
}

/** The sender of audio, silence and commands to jambonz, in streaming mode. */
export class PlaybackSender {
  /** true while the connection can't take more audio, so that no audio is sent */
  blocked = false
  /** ms by which audio is sent ahead of its playout; 0 stands for MAX_AHEAD */
  aheadMs = 0
  readonly #options: PlaybackSenderOptions
  readonly #marks: Marks
  readonly #playout: PlayoutModel
  readonly #onRoom: () => void

  /** `onRoom`: called when the connection is no longer blocked. */
  constructor(options: PlaybackSenderOptions, marks: Marks, playout: PlayoutModel, onRoom: () => void) {
    this.#options = options
    this.#marks = marks
    this.#playout = playout
    this.#onRoom = onRoom
  }

  /**
   * true while too many bytes wait in the process. The next `send()` then sets `blocked` until they have
   * left.
   */
  get isFull(): boolean {
    return this.#options.socket.unsent >= MAX_UNSENT
  }

  /** Returns the bytes of audio that one message may have now. */
  room(now: number): number {
    const aheadMs = this.aheadMs === 0 ? MAX_AHEAD : this.aheadMs
    const bytesPerMs = (this.#options.rate * SAMPLE_BYTES) / 1000
    return Math.min(MAX_MESSAGE, Math.floor(aheadMs - this.#playout.aheadMs(now)) * bytesPerMs)
  }

  /** Sends audio. Before the audio, sends a sample for each stale mark: see `Marks.stale`. */
  send(audio: Buffer): void {
    const { stale } = this.#marks
    // Each of these samples makes mod_audio_fork forget one stale mark (dub_speech_frame).
    const data = stale > 0 ? Buffer.concat([Buffer.alloc(stale * SAMPLE_BYTES, 0xff), audio]) : audio
    if (stale > 0) {
      this.#playout.silence(stale, performance.now())
      this.#marks.cured()
    }
    this.#marks.enterAudio()
    const { socket } = this.#options
    if (!this.isFull) return socket.send(data)
    this.blocked = true
    socket.send(data, () => {
      this.blocked = false
      this.#onRoom()
    })
  }

  /** Sends as much silence as jambonz needs to play all audio that was sent. */
  pad(now: number): void {
    if (this.#playout.missing > 0) this.silence(this.#playout.missing, now)
  }

  /** Sends `samples` samples of silence. */
  silence(samples: number, now: number): void {
    this.send(silenceOf(samples))
    this.#options.track.silence(samples, this.#playout.silence(samples, now), now)
  }

  /** Sends a command. */
  command(command: AudioCommand): void {
    this.#options.socket.sendText(writeCommand(command))
  }
}
