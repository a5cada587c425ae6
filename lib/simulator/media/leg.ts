import { bytesOf, mix, peakOf } from '../audio/pcm.js'
import { FRAME_MS } from '../clock.js'
import type { EndpointListener } from '../fork/commands.js'
import type { Fork } from '../fork/fork.js'
import type { Credentials } from '../fork/handshake.js'
import { Player } from './player.js'
import { Recorder } from './recorder.js'
import { SampleQueue } from './samples.js'

/** A key the party pressed, and for how long. */
export interface Key {
  digit: string
  holdMs: number
}

/** One party's connection to the media server: what it says, what it hears, and who listens in. */
export class Leg {
  readonly rate: number
  readonly speech = new SampleQueue()
  readonly player = new Player()
  /** The forks of this leg in the order they were started: each hears what those before it stream, never itself. */
  readonly forks = new Set<Fork>()
  /** The listen tasks of this leg. On jambonz 0.9 an event of one fork reaches all of them. */
  readonly listenTasks = new Set<EndpointListener>()
  readonly digits = new Set<(key: Key) => void>()
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
  /** When the first frame was heard. */
  startedAt: number | undefined
  readonly #said: Int16Array
  readonly #hears: Int16Array
  readonly #includeStream: boolean
  #mutedFrames = 0

  /** `includeStream`: every fork's audio contains what all forks stream, its own included. */
  constructor(rate: number, keep: number, includeStream = false) {
    this.rate = rate
    this.#includeStream = includeStream
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
    if (this.#mutedFrames === 0) return
    this.#mutedFrames--
    this.#said.fill(0)
  }

  /**
   * Second half: one frame for its ear, and both for who listens in. FreeSWITCH walks the forks in the order they were
   * started: it copies the frame for a fork before that fork adds what it streams (switch_core_io.c, media bugs).
   */
  listen(): void {
    const hears = this.#hears.fill(0)
    if (this.peer !== undefined) mix(hears, this.peer.#said)
    const played = this.player.render(hears)
    for (const fork of this.forks) {
      if (!this.#includeStream) fork.feed(this.#said, hears)
      fork.render(hears, played?.owner === fork ? played.frame : undefined)
    }
    this.heard.add(bytesOf(hears))
    if (this.#includeStream) for (const fork of this.forks) fork.feed(this.#said, hears)
  }

  /** The party says nothing for `ms`, whatever it has to say: a key is down. What it would have said is lost. */
  mute(ms: number): void {
    this.#mutedFrames = Math.max(this.#mutedFrames, Math.ceil(ms / FRAME_MS))
  }

  press(key: Key): void {
    for (const listener of [...this.digits]) listener(key)
  }
}
