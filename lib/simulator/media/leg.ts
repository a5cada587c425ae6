import { bytesOf, mix, peakOf } from '../audio/pcm.js'
import { FRAME_MS } from '../clock.js'
import type { EndpointListener } from '../fork/commands.js'
import type { Fork } from '../fork/fork.js'
import type { Credentials } from '../fork/handshake.js'
import { Player } from './player.js'
import { Recorder } from './recorder.js'
import { SampleQueue } from './samples.js'

/** A pressed key, and for how long it was down. */
export interface Key {
  digit: string
  holdMs: number
}

/**
 * The connection of one party to the media server: the audio that the party says and hears, and the forks of the leg.
 */
export class Leg {
  readonly rate: number
  readonly speech = new SampleQueue()
  readonly player = new Player()
  /**
   * The forks of this leg, in the order of their start. A fork gets the streamed audio of earlier forks, never its own.
   */
  readonly forks = new Set<Fork>()
  /** The listen tasks of this leg. On jambonz 0.9 an event of one fork reaches all of them. */
  readonly listenTasks = new Set<EndpointListener>()
  readonly digits = new Set<(key: Key) => void>()
  readonly heard: Recorder
  /** The leg that this one is bridged to. */
  peer: Leg | undefined
  /** False until the party begins to speak. Until then speech is queued. */
  speaking = false
  /**
   * The credentials of the last listen that had any. A later listen without credentials also sends these credentials,
   * because feature-server never unsets MOD_AUDIO_BASIC_AUTH_USERNAME (read in its source).
   */
  credentials: Credentials | undefined
  /** Simulated time of the first frame that the party heard, in ms. */
  startedAt: number | undefined
  readonly #said: Int16Array
  readonly #hears: Int16Array
  readonly #includeStream: boolean
  #mutedFrames = 0

  /** `includeStream`: the audio of each fork contains the streamed audio of all forks, its own included. */
  constructor(rate: number, keep: number, includeStream = false) {
    this.rate = rate
    this.#includeStream = includeStream
    this.heard = new Recorder(keep)
    this.#said = new Int16Array((rate * FRAME_MS) / 1000)
    this.#hears = new Int16Array(this.#said.length)
  }

  /** True while the party has speech left. */
  get talking(): boolean {
    return this.speaking && this.speech.length > 0
  }

  /** True while audio is played to the party. */
  get addressed(): boolean {
    if (this.player.playing) return true
    for (const fork of this.forks) if (fork.playing) return true
    return false
  }

  /** The peaks of the last frame, 0 to 1: of the audio that the party said, and of the audio that it heard. */
  get levels(): { said: number; heard: number } {
    return { said: peakOf(this.#said), heard: peakOf(this.#hears) }
  }

  /** Runs the first half of a tick: one frame of the party's audio. */
  speak(): void {
    this.#said.fill(0)
    if (this.speaking) this.speech.take(this.#said)
    if (this.#mutedFrames === 0) return
    this.#mutedFrames--
    this.#said.fill(0)
  }

  /**
   * Runs the second half of a tick: makes the frame that the party hears, and gives both frames to the forks.
   * FreeSWITCH goes through the forks in the order of their start. It copies the heard frame for a fork before that
   * fork adds its streamed audio (switch_core_io.c, media bugs).
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

  /** Mutes the party for `ms`, while a key is down. Its speech during this time is lost. */
  mute(ms: number): void {
    this.#mutedFrames = Math.max(this.#mutedFrames, Math.ceil(ms / FRAME_MS))
  }

  press(key: Key): void {
    for (const listener of [...this.digits]) listener(key)
  }
}
