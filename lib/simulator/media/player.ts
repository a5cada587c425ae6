import { mix } from '../audio/pcm.js'

/** How a file ended: samples of it that were played, and whether something stopped it. */
export interface Played {
  samples: number
  stopped: boolean
}

interface Playback {
  samples: Int16Array
  at: number
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

  play(samples: Int16Array): Promise<Played> {
    return new Promise((resolve) => this.#stack.push({ samples, at: 0, done: resolve }))
  }

  /** Ends what plays now (uuid_break); what it had covered goes on. */
  stop(): void {
    const top = this.#stack.pop()
    top?.done({ samples: top.at, stopped: true })
  }

  stopAll(): void {
    while (this.#stack.length > 0) this.stop()
  }

  /** Adds one frame to what the leg hears. */
  render(into: Int16Array): void {
    const top = this.#stack.at(-1)
    if (top === undefined) return
    const frame = top.samples.subarray(top.at, top.at + into.length)
    mix(into, frame)
    top.at += frame.length
    if (top.at < top.samples.length) return
    this.#stack.pop()
    top.done({ samples: top.at, stopped: false })
  }
}
