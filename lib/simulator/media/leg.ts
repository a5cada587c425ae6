import { bytesOf, mix, peakOf } from '../audio/pcm.js'
import { FRAME_MS } from '../clock.js'
import type { Fork } from '../fork/fork.js'
import type { Credentials } from '../fork/handshake.js'
import { Player } from './player.js'
import { Recorder } from './recorder.js'
import { SampleQueue } from './samples.js'

/** One party's connection to the media server: what it says, what it hears, and who listens in. */
export class Leg {
  readonly rate: number
  readonly speech = new SampleQueue()
  readonly player = new Player()
  readonly forks = new Set<Fork>()
  readonly digits = new Set<(digit: string) => void>()
  readonly heard: Recorder
  /** The leg this one talks with while bridged. */
  peer: Leg | undefined
  /** False until the party begins to speak: what was queued before then waits. */
  speaking = false
  /**
   * The endpoint's channel variables keep the last credentials: a later listen without any sends them again (read:
   * feature-server sets MOD_AUDIO_BASIC_AUTH_USERNAME and never unsets it).
   */
  credentials: Credentials | undefined
  readonly #said: Int16Array
  readonly #hears: Int16Array

  constructor(rate: number, keep: number) {
    this.rate = rate
    this.heard = new Recorder(keep)
    this.#said = new Int16Array((rate * FRAME_MS) / 1000)
    this.#hears = new Int16Array(this.#said.length)
  }

  /** True while the party has something left to say. */
  get talking(): boolean {
    return this.speaking && this.speech.length > 0
  }

  /** True while something is played to the party. */
  get addressed(): boolean {
    if (this.player.playing) return true
    for (const fork of this.forks) if (fork.playing) return true
    return false
  }

  /** Peaks of the last frame, 0 to 1: what the party said, and what it heard. */
  get levels(): { said: number; heard: number } {
    return { said: peakOf(this.#said), heard: peakOf(this.#hears) }
  }

  /** First half of a tick: one frame from the party's mouth. */
  speak(): void {
    this.#said.fill(0)
    if (this.speaking) this.speech.take(this.#said)
  }

  /** Second half: one frame for its ear, and both for who listens in. */
  listen(): void {
    const hears = this.#hears.fill(0)
    if (this.peer !== undefined) mix(hears, this.peer.#said)
    this.player.render(hears)
    for (const fork of this.forks) fork.render(hears)
    this.heard.add(bytesOf(hears))
    for (const fork of this.forks) fork.feed(this.#said, hears)
  }

  press(digit: string): void {
    for (const listener of [...this.digits]) listener(digit)
  }
}
