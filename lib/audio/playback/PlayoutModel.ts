import { FRAME_MS } from '../../pcm/samples.js'

/**
 * ms of audio that jambonz collects before it begins to play: 1,280 samples of a call at 8 kHz. Source of both numbers:
 * mod_audio_fork (lws_glue.cpp).
 */
const PREBUFFER_MS = 160
/** ms of audio in each further lot that jambonz hands over to the caller: 640 samples. */
export const LOT_MS = 80

/** ms before jambonz runs dry at which it is time for the last of an utterance, if nothing has come for as long. */
const NEAR_DRY = 60
/** ms without audio after which the beginning of an utterance is played, too short for jambonz to begin with. */
export const SHORT_WAIT = 200

/** ms by which a mark may be reported before the clock allows it */
const EARLY = 300
/** By how much the caller's audio may come faster or slower than real time, as a part of it. */
const REAL_TIME = 0.3

/** The rate at which the module surely does not resample downwards, so that its lots are known to the sample, Hz. */
export const EXACT_RATE = 8000

/**
 * How samples begin to be played: `behind` what is being played, or `dry` where jambonz may have nothing more to play by
 * the time that they reach it. false: they wait for more.
 */
export type Release = 'behind' | 'dry' | false

/**
 * A model of jambonz' prebuffer and playout (mod_audio_fork, processIncomingBinary): how much of our audio jambonz has,
 * and how far the caller has heard it. The clock drives it, every reported mark corrects it.
 */
export class PlayoutModel {
  readonly #perMs: number
  readonly #exact: boolean
  readonly #lot: number
  // Samples that wait in the prebuffer, and how many of them start the next lot.
  #level = 0
  #threshold: number
  // Something may wait in the prebuffer that nobody will hear until more comes.
  #unpadded = false
  // When what is being played ends, ms on the caller's clock; and when it ends at the earliest: no report changes that.
  #endsAt = -Infinity
  #earliestEnd = -Infinity
  // Samples of the application's, without our silence.
  #sent = 0
  #heardMs = 0
  #lastAudioAt = -Infinity
  // Our silence at the end of what jambonz has, ms.
  #padMs = 0

  constructor(rate: number) {
    this.#perMs = rate / 1000
    this.#exact = rate === EXACT_RATE
    this.#lot = LOT_MS * this.#perMs
    this.#threshold = PREBUFFER_MS * this.#perMs
  }

  /** ms of the application's audio that jambonz was given and did not throw away. */
  get sentMs(): number {
    return this.#sent / this.#perMs
  }

  /** Silence, in samples, after which nothing of what was sent stays unplayed. 0: nothing would. */
  get missing(): number {
    if (!this.#unpadded) return 0
    const rest = this.#threshold - this.#level
    // Whether a call has 8 or 48 kHz is not known here, so neither is where its last lot ended: a whole one is sure.
    return this.#exact ? rest : Math.max(rest, this.#lot)
  }

  /** ms until what is being played runs out; negative when it has. */
  dryIn(now: number): number {
    return this.#endsAt - now
  }

  /** Tells whether jambonz has nothing more to play. */
  isDry(now: number): boolean {
    return this.missing === 0 && this.#endsAt <= now
  }

  /** Tells whether jambonz will soon have nothing more to play, and nothing more has come for a while. */
  isNearDry(now: number): boolean {
    const dryIn = this.dryIn(now)
    if (dryIn > NEAR_DRY) return false
    return this.missing === 0 || now - this.#lastAudioAt >= (dryIn > 0 ? NEAR_DRY : SHORT_WAIT)
  }

  /**
   * Tells whether a caller can't have heard so much yet. `speed`: how fast his own audio comes; in a test he may be
   * faster than real time, and then nobody knows.
   */
  isTooEarly(positionMs: number, now: number, speed: number): boolean {
    // A report that came late moves `clockMs`: the next one, in time, would seem to be early.
    const ahead = Math.max(0, this.#earliestEnd - now) + this.#level / this.#perMs
    const mostMs = this.sentMs - Math.max(0, ahead - this.#padMs)
    return positionMs - mostMs > EARLY && Math.abs(speed - 1) < REAL_TIME
  }

  /**
   * Samples that must be given at once, so that jambonz begins to play them at once, whatever the call's rate: its first
   * lot is 160 ms on a call of 8 kHz and shorter on a wideband one. 0: any number will do.
   */
  toBegin(now: number): number {
    if (this.#exact || this.#endsAt > now) return 0
    return Math.max(this.#threshold - this.#level, this.#lot)
  }

  /** ms until everything that jambonz has would be played. */
  aheadMs(now: number): number {
    return Math.max(0, this.#endsAt - now) + this.#level / this.#perMs
  }

  /** ms of the application's audio that the caller has heard, never more than `limit`. */
  playedMs(now: number, limit: number): number {
    this.#heardMs = Math.max(this.#heardMs, Math.min(this.clockMs(now), limit))
    return this.#heardMs
  }

  /** The same as the clock alone tells: at most so much. */
  clockMs(now: number): number {
    return this.sentMs - Math.max(0, this.aheadMs(now) - this.#padMs)
  }

  /** Counts samples of the application's. Returns how they, and what waited before them, begin to be played. */
  audio(samples: number, now: number): Release {
    this.#sent += samples
    this.#lastAudioAt = now
    this.#padMs = 0
    const released = this.#add(samples, now)
    this.#unpadded = !this.#exact || this.#level > 0
    return released
  }

  /** The same for silence, and for samples that mean something to jambonz. */
  silence(samples: number, now: number): Release {
    this.#padMs += samples / this.#perMs
    const released = this.#add(samples, now)
    this.#unpadded = this.#exact && this.#level > 0
    return released
  }

  /** jambonz says that everything up to `positionMs` has been played. */
  reported(positionMs: number, now: number): void {
    this.#heardMs = Math.max(this.#heardMs, positionMs)
    // A clear may have crossed the report.
    this.#sent = Math.max(this.#sent, positionMs * this.#perMs)
    const left = this.sentMs - positionMs + this.#padMs - this.#level / this.#perMs
    this.#endsAt = now + Math.max(0, left)
  }

  /** jambonz throws away what has not been played. */
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

/** Ticks `member` once a frame from now on: one timer for all calls that are being spoken to. */
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
