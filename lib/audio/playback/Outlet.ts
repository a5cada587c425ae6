import type { Marks } from './Marks.js'
import { Playout } from './Playout.js'
import { hasMarkSample, silenceOf, withoutMarkSamples } from '../../pcm/samples.js'
import { LOT_MS } from '../socket/wire.js'
import { SAMPLE_BYTES } from '../../pcm/samples.js'

/** bytes that may wait in the process to be sent */
const MAX_UNSENT = 131_072
/** ms before jambonz runs dry at which it is time for the last of an utterance, if nothing has come for as long. */
const NEAR_DRY = 60
/** ms without audio after which the beginning of an utterance is played, too short for jambonz to begin with. */
const SHORT_WAIT = 200
/** ms by which the caller may hear audio later than the clock says. */
const TAINT_MARGIN = 500

/** ms by which a mark may be reported before the clock allows it */
const EARLY = 300
/** By how much the caller's audio may come faster or slower than real time, as a part of it. */
const REAL_TIME = 0.3
export interface OutletOptions {
  /** Hz of the audio sent to jambonz */
  rate: number
  send: (data: Buffer | string, sent?: () => void) => void
  /** bytes sent that are still in the process */
  unsent: () => number
  /** how fast the caller's audio comes: 1 is real time */
  speed: () => number
}

/** Where audio leaves for jambonz: counted, padded, and free of samples that it would take for marks. */
export class Outlet {
  readonly playout: Playout
  /** The connection is slower than what is sent. */
  blocked = false
  /** Marks are in use: no sample may look like one any more. */
  marksUsed = false
  readonly #options: OutletOptions
  readonly #marks: Marks
  readonly #onRoom: () => void
  // Until then audio is being played that may contain samples which look like marks.
  #taintedUntil = -Infinity
  #lastAudioAt = -Infinity

  /** `onRoom`: it is blocked no longer. */
  constructor(options: OutletOptions, marks: Marks, onRoom: () => void) {
    this.#options = options
    this.#marks = marks
    this.#onRoom = onRoom
    this.playout = new Playout(options.rate)
  }

  /** The application's audio, whole samples. */
  audio(audio: Buffer, now: number): void {
    this.#transmit(this.marksUsed ? withoutMarkSamples(audio) : audio, now)
    this.playout.audio(audio.length / SAMPLE_BYTES, now)
    this.#lastAudioAt = now
    if (!this.marksUsed && hasMarkSample(audio)) {
      this.#taintedUntil = now + this.playout.aheadMs(now) + TAINT_MARGIN
    }
  }

  /** Silence that has the rest of what was sent played. */
  pad(now: number): void {
    if (this.playout.missing > 0) this.#silence(this.playout.missing, now)
  }

  /** Has jambonz forget the marks whose place in the audio it has thrown away. */
  cure(now: number): void {
    if (this.#marks.stale > 0) this.#silence((LOT_MS * this.#options.rate) / 1000, now)
  }

  command(text: string): void {
    this.#options.send(text)
  }

  /** Samples may be playing that jambonz would take for the marks of now. */
  isTainted(now: number): boolean {
    return now < this.#taintedUntil
  }

  /** A caller who hears in real time can't have heard so much yet. (One in a test may be faster: his own audio tells.) */
  isTooEarly(positionMs: number, now: number): boolean {
    return positionMs - this.playout.clockMs(now) > EARLY && Math.abs(this.#options.speed() - 1) < REAL_TIME
  }

  /** jambonz will soon have nothing more to play, and nothing more has come for a while. */
  isNearDry(now: number): boolean {
    const dryIn = this.playout.dryIn(now)
    if (dryIn > NEAR_DRY) return false
    return this.playout.missing === 0 || now - this.#lastAudioAt >= (dryIn > 0 ? NEAR_DRY : SHORT_WAIT)
  }

  #silence(samples: number, now: number): void {
    this.#transmit(silenceOf(samples), now)
    this.playout.silence(samples, now)
  }

  #transmit(audio: Buffer, now: number): void {
    let data = audio
    const { stale } = this.#marks
    if (stale > 0) {
      // Each of these samples makes the module forget one mark (mod_audio_fork, dub_speech_frame).
      data = Buffer.concat([Buffer.alloc(stale * SAMPLE_BYTES, 0xff), audio])
      this.playout.silence(stale, now)
      this.#marks.cured()
    }
    this.#marks.enterAudio()
    if (this.#options.unsent() < MAX_UNSENT) return this.#options.send(data)
    this.blocked = true
    this.#options.send(data, () => {
      this.blocked = false
      this.#onRoom()
    })
  }
}
