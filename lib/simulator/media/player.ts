import { mix } from '../audio/pcm.js'

/** How a sound ended: samples of it that were played, and whether something stopped it. */
export interface Played {
  samples: number
  stopped: boolean
  /** Samples of the last frame: the sound ends this much after the tick that played it. */
  lastSamples: number
}

/** One frame of what plays, and who asked for it. */
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
 * Plays sounds to one leg as FreeSWITCH does: a new one starts at once on top of the old, which goes on where it was when
 * the new one ends; stopping ends the top one.
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

  /** Calls `done` in the very tick in which the sound ends. */
  start(samples: Int16Array, owner: object | undefined, done: (played: Played) => void): void {
    this.#stack.push({ samples, owner, at: 0, lastSamples: 0, done })
  }

  /** Ends what plays now (uuid_break); what it had covered goes on. */
  stop(): void {
    const top = this.#stack.pop()
    top?.done({ samples: top.at, stopped: true, lastSamples: top.lastSamples })
  }

  stopAll(): void {
    while (this.#stack.length > 0) this.stop()
  }

  /** Adds one frame to what the leg hears, and returns it. */
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
