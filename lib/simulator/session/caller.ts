import { FRAME_MS, type Clock } from '../clock.js'
import type { Leg } from '../media/leg.js'
import type { KeyPress } from './press.js'

/** ms between the release of a key and the next key of the same `press`. */
const BETWEEN_DIGITS_MS = 150
/**
 * ms after the release of a key in which jambonz gets silence from the caller (measured: 200 ms for a key of 100 ms).
 */
const MUTED_AFTER_KEY_MS = 100

export interface CallerScript {
  presses: KeyPress[]
  patienceMs: number
  speakAt: 'listen' | 'answer'
}

/**
 * The simulated caller. He says the speech and presses the keys of the script, then hangs up after some time without
 * audio.
 */
export class Caller {
  readonly #leg: Leg
  readonly #clock: Clock
  readonly #script: CallerScript
  readonly #hangUp: () => void
  readonly #pressed: (digit: string) => void
  #afterSpeech: KeyPress[]
  #pending = 0
  #begun = false
  #idleMs = 0
  #wasBusy = false

  constructor(options: {
    leg: Leg
    clock: Clock
    script: CallerScript
    hangUp: () => void
    pressed: (digit: string) => void
  }) {
    this.#leg = options.leg
    this.#clock = options.clock
    this.#script = options.script
    this.#hangUp = options.hangUp
    this.#pressed = options.pressed
    this.#afterSpeech = options.script.presses.filter((press) => press.atMs === undefined)
  }

  /** Starts the script, because the application listens for the first time. */
  begin(): void {
    if (this.#begun) return
    this.#begun = true
    this.#leg.speaking = true
    for (const press of this.#script.presses) {
      if (press.atMs !== undefined) this.#schedule(press, press.atMs)
    }
  }

  answered(): void {
    if (this.#script.speakAt === 'answer') this.#leg.speaking = true
  }

  speak(samples: Int16Array): void {
    this.#idleMs = 0
    this.#leg.speaking = true
    this.#leg.speech.push(samples)
  }

  press(keys: KeyPress): void {
    this.#idleMs = 0
    this.#schedule(keys, 0)
  }

  /** True while the script has speech or keys left. */
  get busy(): boolean {
    return this.#leg.talking || this.#pending > 0
  }

  /** Runs after each frame. `waiting`: the present verb lasts until the caller or the application ends it. */
  tick(waiting: boolean): void {
    if (this.#begun && !this.#leg.talking && this.#afterSpeech.length > 0) {
      const presses = this.#afterSpeech
      this.#afterSpeech = []
      let at = 0
      for (const press of presses) {
        this.#schedule(press, at)
        at += press.digits.length * (press.holdMs + BETWEEN_DIGITS_MS)
      }
    }
    const busy = this.busy || this.#leg.addressed
    const idle = waiting && !busy && !this.#wasBusy
    this.#wasBusy = busy
    this.#idleMs = idle ? this.#idleMs + FRAME_MS : 0
    if (this.#idleMs >= this.#script.patienceMs) this.#hangUp()
  }

  // The media server reports a key when the caller releases it, with the last packet of the key (RFC 2833).
  #schedule({ digits, holdMs }: KeyPress, afterMs: number): void {
    const start = this.#clock.now() + afterMs
    for (const [index, digit] of [...digits].entries()) {
      const down = start + index * (holdMs + BETWEEN_DIGITS_MS)
      this.#pending++
      this.#clock.at(down, () => this.#leg.mute(holdMs + MUTED_AFTER_KEY_MS))
      this.#clock.at(down + holdMs, () => {
        this.#pending--
        this.#pressed(digit)
        this.#leg.press({ digit, holdMs })
      })
    }
  }
}
