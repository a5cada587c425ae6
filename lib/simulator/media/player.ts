import { mix } from '../audio/pcm.js'
import type { PlayDone } from '../types.js'

/** ms of file that FreeSWITCH reads at a time. FreeSWITCH counts audio as played when it has read it. */
const READ_AHEAD_MS = 2_048

/** The end of a sound: the number of samples played, and true if it was stopped. */
export interface Played {
  samples: number
  stopped: boolean
  /** Samples of the last frame. The sound ends this many samples after the tick that played the last frame. */
  lastSamples: number
}

/** One frame of a sound, and its owner. */
export interface PlayedFrame {
  frame: Int16Array
  owner: object | undefined
}

interface Playback {
  samples: Int16Array
  owner: object | undefined
  at: number
  lastSamples: number
  done: (played: Played) => void
}

/**
 * Plays sounds to one leg as FreeSWITCH does. A new sound starts at once and interrupts the present sound. The
 * interrupted sound continues when the new sound ends. A stop ends only the new sound.
 */
export class Player {
  #stack: Playback[] = []

  get playing(): boolean {
    return this.#stack.length > 0
  }

  /** Resolves when the sound has ended. */
  play(samples: Int16Array): Promise<Played> {
    return new Promise((resolve) => this.start(samples, undefined, resolve))
  }

  /** Starts a sound. Calls `done` in the tick in which it ends. */
  start(samples: Int16Array, owner: object | undefined, done: (played: Played) => void): void {
    this.#stack.push({ samples, owner, at: 0, lastSamples: 0, done })
  }

  /** Ends the present sound (uuid_break). The one that it interrupted continues. */
  stop(): void {
    const top = this.#stack.pop()
    top?.done({ samples: top.at, stopped: true, lastSamples: top.lastSamples })
  }

  stopAll(): void {
    while (this.#stack.length > 0) this.stop()
  }

  /** Adds one frame to the audio that the leg hears, and returns it. */
  render(into: Int16Array): PlayedFrame | undefined {
    const top = this.#stack.at(-1)
    if (top === undefined) return undefined
    const frame = top.samples.subarray(top.at, top.at + into.length)
    mix(into, frame)
    top.at += frame.length
    top.lastSamples = frame.length
    if (top.at >= top.samples.length) {
      this.#stack.pop()
      top.done({ samples: top.at, stopped: false, lastSamples: frame.length })
    }
    return { frame, owner: top.owner }
  }
}

/**
 * Returns a playDone. Its offset counts the samples that the caller heard. Its times count the audio that FreeSWITCH
 * had read at the stop.
 */
export function playDone(id: unknown, { samples, stopped }: Played, length: number, rate: number): PlayDone {
  const wholeMs = (length * 1000) / rate
  const heardMs = (samples * 1000) / rate
  const steps = Math.max(1, Math.ceil(heardMs / READ_AHEAD_MS))
  const ms = Math.round(stopped ? Math.min(steps * READ_AHEAD_MS, wholeMs) : heardMs)
  return {
    ...(id !== undefined && { id }),
    playbackSeconds: String(Math.floor(ms / 1000)),
    playbackMilliseconds: String(ms),
    playbackLastOffsetPos: String(samples)
  }
}
