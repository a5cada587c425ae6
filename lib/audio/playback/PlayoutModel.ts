import { FRAME_MS } from '../../pcm/samples.js'

/**
 * ms of audio that jambonz collects before it begins to play: 1,280 samples of a call at 8 kHz. Source of
 * this number and of LOT_MS: mod_audio_fork (lws_glue.cpp).
 */
const PREBUFFER_MS = 160
/** ms of audio in one lot. After the prebuffer, jambonz passes audio on to the caller in lots of 640 samples. */
export const LOT_MS = 80

/**
 * The end of the audio is padded if jambonz runs out of audio within this many ms, and no audio was sent for
 * this many ms.
 */
const NEAR_DRY = 60
/** ms without further audio, after which the first audio of an utterance is padded if it is too short to be played */
export const SHORT_WAIT = 200

/** ms by which jambonz may report a mark earlier than the clock expects it */
const EARLY = 300
/** The caller's audio counts as real time if its speed differs from 1 by less than this. */
const REAL_TIME = 0.3

/**
 * Sample rate, in Hz, at which mod_audio_fork never resamples downwards, so that the sizes of its lots are
 * known exactly.
 */
export const EXACT_RATE = 8000

/**
 * How jambonz begins to play samples that were sent. `behind`: after other audio. `dry`: at once, as jambonz
 * may have run out of audio. false: not yet, since jambonz holds the samples in its prebuffer until more
 * samples arrive.
 */
export type Release = 'behind' | 'dry' | false

/**
 * A model of the prebuffer and playout of jambonz (mod_audio_fork, processIncomingBinary). It computes how
 * much of our audio jambonz has, and how much of it the caller has heard. The clock drives the model; each
 * reported mark corrects it.
 */
export class PlayoutModel {
  readonly #perMs: number
  readonly #exact: boolean
  readonly #lot: number
  // Number of samples in the prebuffer.
  #level = 0
  // Number of samples in the prebuffer at which jambonz begins to play them.
  #threshold: number
  // true if the prebuffer may hold audio of the application, which jambonz does not play until more audio is
  // sent.
  #unpadded = false
  // End of the audio that jambonz plays, ms on the clock. Reports of jambonz correct this time.
  #endsAt = -Infinity
  // Earliest possible end of the audio that jambonz plays, ms on the clock. Reports do not change this time.
  #earliestEnd = -Infinity
  // Number of samples of the application that were sent, padding excluded.
  #sent = 0
  #heardMs = 0
  #lastAudioAt = -Infinity
  // ms of padding at the end of the audio that jambonz has.
  #padMs = 0

  constructor(rate: number) {
    this.#perMs = rate / 1000
    this.#exact = rate === EXACT_RATE
    this.#lot = LOT_MS * this.#perMs
    this.#threshold = PREBUFFER_MS * this.#perMs
  }

  /** ms of the application's audio that was sent to jambonz and not cleared. */
  get sentMs(): number {
    return this.#sent / this.#perMs
  }

  /**
   * true if padding follows the audio of the application. The model forgets the padding with the next audio, so
   * `playedMs()` must be called before that audio, to keep what the caller has heard.
   */
  get isPadded(): boolean {
    return this.#padMs > 0
  }

  /**
   * Number of samples of silence to send so that jambonz plays all audio that it has; 0 if jambonz plays it
   * anyway.
   */
  get missing(): number {
    if (!this.#unpadded) return 0
    const rest = this.#threshold - this.#level
    // The rate of the call is not known, so the missing part of the last lot is not known either. A whole lot is
    // enough.
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

  /** Time, ms on the clock, before which `isNearDry()` is false, if no more reports come. */
  get nearDryAt(): number {
    return this.#endsAt - NEAR_DRY
  }

  /** Returns true if jambonz will soon run out of audio, and no audio was sent for a while. */
  isNearDry(now: number): boolean {
    const dryIn = this.dryIn(now)
    if (dryIn > NEAR_DRY) return false
    return this.missing === 0 || now - this.#lastAudioAt >= (dryIn > 0 ? NEAR_DRY : SHORT_WAIT)
  }

  /**
   * Returns true if the caller can't have heard `positionMs` of audio yet. `speed`: the speed of the caller's
   * audio; 1 is real time. At other speeds, as in some tests, the clock proves nothing, and the result is
   * false.
   */
  isTooEarly(positionMs: number, now: number, speed: number): boolean {
    // `clockMs()` is not used, since a late report moves that clock, so that the next report would seem to be
    // too early.
    const ahead = Math.max(0, this.#earliestEnd - now) + this.#level / this.#perMs
    const mostMs = this.sentMs - Math.max(0, ahead - this.#padMs)
    return positionMs - mostMs > EARLY && Math.abs(speed - 1) < REAL_TIME
  }

  /**
   * Returns the number of samples that must be sent so that jambonz begins to play now, at any rate of the
   * call. jambonz waits for 160 ms of audio on a call of 8 kHz, and for less on a wideband call. Returns 0
   * while jambonz plays audio.
   */
  toBegin(now: number): number {
    if (this.#exact || this.#endsAt > now) return 0
    return Math.max(this.#threshold - this.#level, this.#lot)
  }

  /** Returns the ms that jambonz takes to play all audio that it has. */
  aheadMs(now: number): number {
    return Math.max(0, this.#endsAt - now) + this.#level / this.#perMs
  }

  /** Returns the ms of the application's audio that the caller has heard, at most `limit`. */
  playedMs(now: number, limit: number): number {
    this.#heardMs = Math.max(this.#heardMs, Math.min(this.clockMs(now), limit))
    return this.#heardMs
  }

  /** Returns the ms of the application's audio that the caller has heard at most, by the clock alone. */
  clockMs(now: number): number {
    return this.sentMs - Math.max(0, this.aheadMs(now) - this.#padMs)
  }

  /**
   * Counts samples of the application. Returns how jambonz begins to play these samples and the samples in
   * its prebuffer.
   */
  audio(samples: number, now: number): Release {
    this.#sent += samples
    this.#lastAudioAt = now
    this.#padMs = 0
    const released = this.#add(samples, now)
    this.#unpadded = !this.#exact || this.#level > 0
    return released
  }

  /**
   * Counts silence that was sent as padding, or for stale marks (see `Marks.stale`). Returns how jambonz
   * begins to play the silence.
   */
  silence(samples: number, now: number): Release {
    this.#padMs += samples / this.#perMs
    const released = this.#add(samples, now)
    this.#unpadded = this.#exact && this.#level > 0
    return released
  }

  /** Notes jambonz' report that all audio up to `positionMs` has been played. */
  reported(positionMs: number, now: number): void {
    this.#heardMs = Math.max(this.#heardMs, positionMs)
    // If a clear was sent before the report arrived, the clear has lowered #sent too far.
    this.#sent = Math.max(this.#sent, positionMs * this.#perMs)
    const left = this.sentMs - positionMs + this.#padMs - this.#level / this.#perMs
    this.#endsAt = now + Math.max(0, left)
  }

  /** Notes a clear, in which jambonz throws away the audio that it has not played. */
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

/**
 * ms between two ticks from which on the process counts as stalled, since unread reports may wait in its
 * sockets
 */
const STALL = 200

export interface Ticking {
  /**
   * Called once a frame, or less often. `now`: ms, as performance.now(). `stalled`: true if the process stood still
   * since the last frame. Returns the time, on the same clock, before which the next call is not needed.
   */
  tick(now: number, stalled: boolean): number
}

/** The members, each with the time before which its next tick is not needed, in whole ms on the clock. */
const members = new Map<Ticking, number>()
let timer: NodeJS.Timeout | undefined

/**
 * Calls `member.tick()` once a frame from now on. There is one timer for all members. `soon`: false if the time that
 * the last tick has returned still holds.
 */
export function startTicking(member: Ticking, soon: boolean): void {
  if (soon || !members.has(member)) members.set(member, 0)
  if (timer !== undefined) return
  let tickedAt = performance.now()
  timer = setInterval(() => {
    const now = performance.now()
    const stalled = now - tickedAt > STALL
    tickedAt = now
    members.forEach((due, each) => {
      if (due > now) return
      const next = Math.floor(each.tick(now, stalled))
      if (members.has(each)) members.set(each, next)
    })
  }, FRAME_MS)
}

/** Ends the calls of `member.tick()`. */
export function stopTicking(member: Ticking): void {
  if (!members.delete(member) || members.size > 0) return
  clearInterval(timer)
  timer = undefined
}
