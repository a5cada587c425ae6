import { FRAME_MS, SAMPLE_BYTES, silenceOf } from '../../pcm/samples.js'
import { writeCommand, type AudioCommand } from '../socket/messages.js'
import type { ListenSocket } from '../socket/ListenSocket.js'
import type { HeardTrack } from './HeardTrack.js'
import type { Marks } from './Marks.js'
import type { FastifyBaseLogger } from 'fastify'
import type { MarkEvent } from '../socket/types.js'
import type { Utterance } from './Utterance.js'

/**
 * ms of audio that jambonz collects before it begins to play: 1,280 samples of a call at 8 kHz. Source of both numbers:
 * mod_audio_fork (lws_glue.cpp).
 */
const PREBUFFER_MS = 160
/** ms of audio in each further lot that jambonz hands over to the caller: 640 samples. */
export const LOT_MS = 80

/** ms before jambonz runs out of audio: then the end of an utterance is padded, if no audio was sent for as long. */
const NEAR_DRY = 60
/** ms without audio, after which a beginning is padded that is too short for jambonz to play. */
export const SHORT_WAIT = 200

/** ms by which a mark may be reported too early by the clock */
const EARLY = 300
/** Difference from real time, as a part of it, at which the caller's audio still counts as real time. */
const REAL_TIME = 0.3

/** Hz: at this rate mod_audio_fork never resamples downwards, so its lots are known to the sample. */
export const EXACT_RATE = 8000

/**
 * The way in which jambonz begins to play samples: `behind` other audio, or `dry` if it may have run out of audio
 * before they arrive. false: it holds them back until more arrive.
 */
export type Release = 'behind' | 'dry' | false

/**
 * A model of the prebuffer and playout of jambonz (mod_audio_fork, processIncomingBinary): how much of our audio
 * jambonz has, and how much the caller has heard. The clock drives it; each reported mark corrects it.
 */
export class PlayoutModel {
  readonly #perMs: number
  readonly #exact: boolean
  readonly #lot: number
  // Samples in the prebuffer, and the number at which jambonz plays them.
  #level = 0
  #threshold: number
  // Audio may wait in the prebuffer that is not heard until more is sent.
  #unpadded = false
  // ms on the clock: the end of the audio that is being played, and its earliest possible end, which no report changes.
  #endsAt = -Infinity
  #earliestEnd = -Infinity
  // Samples of the application that were sent, without our silence.
  #sent = 0
  #heardMs = 0
  #lastAudioAt = -Infinity
  // ms of our silence at the end of what jambonz has.
  #padMs = 0

  constructor(rate: number) {
    this.#perMs = rate / 1000
    this.#exact = rate === EXACT_RATE
    this.#lot = LOT_MS * this.#perMs
    this.#threshold = PREBUFFER_MS * this.#perMs
  }

  /** ms of the application's audio that was sent to jambonz and not thrown away. */
  get sentMs(): number {
    return this.#sent / this.#perMs
  }

  /** Samples of silence that make jambonz play all that was sent; 0 if it does so anyway. */
  get missing(): number {
    if (!this.#unpadded) return 0
    const rest = this.#threshold - this.#level
    // The call's rate is not known, so the end of the last lot is not known either: a whole lot is enough.
    return this.#exact ? rest : Math.max(rest, this.#lot)
  }

  /** Returns the ms until jambonz runs out of audio; negative if it has. */
  dryIn(now: number): number {
    return this.#endsAt - now
  }

  /** Returns true if jambonz has run out of audio. */
  isDry(now: number): boolean {
    return this.missing === 0 && this.#endsAt <= now
  }

  /** Returns true if jambonz will soon run out of audio, and none was sent for a while. */
  isNearDry(now: number): boolean {
    const dryIn = this.dryIn(now)
    if (dryIn > NEAR_DRY) return false
    return this.missing === 0 || now - this.#lastAudioAt >= (dryIn > 0 ? NEAR_DRY : SHORT_WAIT)
  }

  /**
   * Returns true if the caller can't have heard so much yet. `speed`: that of the caller's own audio. If it is not
   * about real time, as in some tests, the result is false.
   */
  isTooEarly(positionMs: number, now: number, speed: number): boolean {
    // A report that came late moves `clockMs`: the next one, in time, would seem to be early.
    const ahead = Math.max(0, this.#earliestEnd - now) + this.#level / this.#perMs
    const mostMs = this.sentMs - Math.max(0, ahead - this.#padMs)
    return positionMs - mostMs > EARLY && Math.abs(speed - 1) < REAL_TIME
  }

  /**
   * Samples that must be given at once, so that jambonz begins to play them at once, whatever the call's rate: its
   * first lot is 160 ms on a call of 8 kHz and shorter on a wideband one. 0: any number will do.
   */
  toBegin(now: number): number {
    if (this.#exact || this.#endsAt > now) return 0
    return Math.max(this.#threshold - this.#level, this.#lot)
  }

  /** Returns the ms until all that jambonz has would be played. */
  aheadMs(now: number): number {
    return Math.max(0, this.#endsAt - now) + this.#level / this.#perMs
  }

  /** Returns the ms of the application's audio that the caller has heard, at most `limit`. */
  playedMs(now: number, limit: number): number {
    this.#heardMs = Math.max(this.#heardMs, Math.min(this.clockMs(now), limit))
    return this.#heardMs
  }

  /** Returns the ms that the caller has heard by the clock alone, at most. */
  clockMs(now: number): number {
    return this.sentMs - Math.max(0, this.aheadMs(now) - this.#padMs)
  }

  /** Counts samples of the application. Returns how jambonz begins to play them, and those that it held back. */
  audio(samples: number, now: number): Release {
    this.#sent += samples
    this.#lastAudioAt = now
    this.#padMs = 0
    const released = this.#add(samples, now)
    this.#unpadded = !this.#exact || this.#level > 0
    return released
  }

  /** Counts samples of silence, or samples for jambonz itself. Returns the same. */
  silence(samples: number, now: number): Release {
    this.#padMs += samples / this.#perMs
    const released = this.#add(samples, now)
    this.#unpadded = this.#exact && this.#level > 0
    return released
  }

  /** Notes jambonz' report that all audio up to `positionMs` has been played. */
  reported(positionMs: number, now: number): void {
    this.#heardMs = Math.max(this.#heardMs, positionMs)
    // The report may have crossed a clear.
    this.#sent = Math.max(this.#sent, positionMs * this.#perMs)
    const left = this.sentMs - positionMs + this.#padMs - this.#level / this.#perMs
    this.#endsAt = now + Math.max(0, left)
  }

  /** Notes that jambonz throws away the audio that has not been played. */
  clear(now: number, limit: number): void {
    this.#sent = this.playedMs(now, limit) * this.#perMs
    this.#level = 0
    this.#padMs = 0
    this.#endsAt = now
    this.#earliestEnd = now
    this.#unpadded = false
  }

  #add(samples: number, now: number): Release {
    this.#level += samples
    if (this.#level < this.#threshold) return false
    const ms = this.#level / this.#perMs
    const isDry = this.dryIn(now) < NEAR_DRY
    this.#endsAt = Math.max(this.#endsAt, now) + ms
    this.#earliestEnd = Math.max(this.#earliestEnd, now) + ms
    this.#level = 0
    this.#threshold = this.#lot
    return isDry ? 'dry' : 'behind'
  }
}

export interface Ticking {
  /** `now`: ms, as performance.now() */
  tick(now: number): void
}

const members = new Set<Ticking>()
let timer: NodeJS.Timeout | undefined

/** Calls `member.tick()` once a frame from now on. There is one timer for all members. */
export function startTicking(member: Ticking): void {
  members.add(member)
  timer ??= setInterval(() => {
    const now = performance.now()
    for (const each of members) each.tick(now)
  }, FRAME_MS)
}

export function stopTicking(member: Ticking): void {
  if (!members.delete(member) || members.size > 0) return
  clearInterval(timer)
  timer = undefined
}

/** ms of audio that jambonz may have ahead of its playout. More at once would stall its one thread for all calls. */
const MAX_AHEAD = 60_000
/** bytes of one message, at most: a clear() must not wait behind a long one */
const MAX_MESSAGE = 32_768
/** bytes that may wait in the process to be sent */
const MAX_UNSENT = 131_072

export interface StreamingPlaybackOptions {
  /** Hz of the audio sent to jambonz */
  rate: number
  socket: Pick<ListenSocket, 'send' | 'sendText' | 'unsent' | 'speed'>
  /** Returns the bytes that were written and not taken, the current chunk included. */
  backlog: () => number
  onMark: (mark: MarkEvent) => void
  /** Returns an utterance for a run of audio outside of any utterance. */
  beginRun: () => Utterance
  /** gets all audio that is sent */
  track: HeardTrack
  logger: FastifyBaseLogger
}

/** Sends audio, silence and commands to jambonz, in streaming mode. */
export class PlaybackSender {
  /** true while the connection is slower than the audio that is sent. */
  blocked = false
  /** ms by which audio is sent ahead of its playout; 0: MAX_AHEAD */
  aheadMs = 0
  readonly #options: StreamingPlaybackOptions
  readonly #marks: Marks
  readonly #playout: PlayoutModel
  readonly #onRoom: () => void

  /** `onRoom`: called when the connection is no longer blocked. */
  constructor(options: StreamingPlaybackOptions, marks: Marks, playout: PlayoutModel, onRoom: () => void) {
    this.#options = options
    this.#marks = marks
    this.#playout = playout
    this.#onRoom = onRoom
  }

  /** true while too many bytes wait in the process: audio that is sent now blocks. */
  get isFull(): boolean {
    return this.#options.socket.unsent >= MAX_UNSENT
  }

  /** Returns the bytes of audio that one message may have now. */
  room(now: number): number {
    const aheadMs = this.aheadMs === 0 ? MAX_AHEAD : this.aheadMs
    const bytesPerMs = (this.#options.rate * SAMPLE_BYTES) / 1000
    return Math.min(MAX_MESSAGE, Math.floor(aheadMs - this.#playout.aheadMs(now)) * bytesPerMs)
  }

  /** Sends audio. It is preceded by the samples that cure stale marks, if there are any. */
  send(audio: Buffer): void {
    const { stale } = this.#marks
    // Each of these samples makes mod_audio_fork forget one mark (dub_speech_frame).
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

  /** Sends the silence that makes jambonz play all audio that was sent. */
  pad(now: number): void {
    if (this.#playout.missing > 0) this.silence(this.#playout.missing, now)
  }

  /** Sends silence of so many samples. */
  silence(samples: number, now: number): void {
    this.send(silenceOf(samples))
    this.#options.track.silence(samples, this.#playout.silence(samples, now), now)
  }

  /** Sends a command. */
  command(command: AudioCommand): void {
    this.#options.socket.sendText(writeCommand(command))
  }
}
