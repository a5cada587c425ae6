import { FRAME_MS, type Clock } from '../clock.js'
import type { Leg } from '../media/leg.js'
import type { KeyPress } from './press.js'

/** Pause between the keys of one press. */
const BETWEEN_DIGITS_MS = 250

export interface CallerScript {
  presses: KeyPress[]
  patienceMs: number
  speakAt: 'listen' | 'answer'
}

/** The simulated person: says and presses what the script has, waits politely, hangs up when nothing comes any more. */
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

  /** The application listens for the first time: now the script's clock runs. */
  begin(): void {
    if (this.#begun) return
    this.#begun = true
    this.#leg.speaking = true
    for (const press of this.#script.presses) {
      if (press.atMs !== undefined) this.#schedule(press.digits, press.atMs)
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

  press(digits: string): void {
    this.#idleMs = 0
    this.#schedule(digits, 0)
  }

  /** True while the script still has something for the caller to do. */
  get busy(): boolean {
    return this.#leg.talking || this.#pending > 0
  }

  /** After each frame. `waiting`: the running verb goes on until somebody ends it. */
  tick(waiting: boolean): void {
    if (this.#begun && !this.#leg.talking && this.#afterSpeech.length > 0) {
      const presses = this.#afterSpeech
      this.#afterSpeech = []
      let at = 0
      for (const { digits } of presses) {
        this.#schedule(digits, at)
        at += digits.length * BETWEEN_DIGITS_MS
      }
    }
    const busy = this.busy || this.#leg.addressed
    const idle = waiting && !busy && !this.#wasBusy
    this.#wasBusy = busy
    this.#idleMs = idle ? this.#idleMs + FRAME_MS : 0
    if (this.#idleMs >= this.#script.patienceMs) this.#hangUp()
  }

  #schedule(digits: string, afterMs: number): void {
    const start = this.#clock.now() + afterMs
    for (const [index, digit] of [...digits].entries()) {
      this.#pending++
      this.#clock.at(start + index * BETWEEN_DIGITS_MS, () => {
        this.#pending--
        this.#pressed(digit)
        this.#leg.press(digit)
      })
    }
  }
}
