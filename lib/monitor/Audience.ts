import type { WebSocket } from 'ws'
import { liveOf, type AudioStream } from '../audio/stream/AudioStream.js'
import { addHeard, SAMPLE_BYTES, samplesOf } from '../pcm/samples.js'
import { CLOSE, closeSocket } from '../audio/socket/SocketEnd.js'

/** ms of audio that may wait for a supervisor on a slow line; audio beyond that is dropped for them */
const MAX_DELAY = 250

/**
 * Whoever listens in to one stream: each is sent what both sides say, as L16, for as long as the stream and he are
 * there, with the channels that its recording has: see `channelsOf()`.
 */
export class Audience {
  readonly #stream: AudioStream
  readonly #mostWaiting: number
  readonly #supervisors = new Set<WebSocket>()

  constructor(stream: AudioStream) {
    this.#stream = stream
    this.#mostWaiting = (MAX_DELAY / 1000) * stream.sampleRate * channelsOf(stream) * SAMPLE_BYTES
    // Once a stream, and not once a visit: what a promise is to do when it settles, it keeps until then.
    stream.done.then(() => {
      for (const supervisor of this.#supervisors) closeSocket(supervisor, CLOSE.normal)
    })
  }

  add(supervisor: WebSocket): void {
    const stream = this.#stream
    const live = liveOf(stream)
    const isPaired = channelsOf(stream) > stream.channels
    const hear = (frame: Buffer) => {
      // Nobody may hear private audio.
      if (live.isHidden || supervisor.bufferedAmount >= this.#mostWaiting) return
      const { heard } = live
      if (isPaired) return supervisor.send(paired(frame, heard))
      if (heard === undefined) return supervisor.send(frame)
      const both = Buffer.from(frame)
      addHeard(samplesOf(both), heard, stream.channels)
      supervisor.send(both)
    }
    supervisor.on('error', () => supervisor.terminate())
    stream.on('audio', hear)
    this.#supervisors.add(supervisor)
    supervisor.on('close', () => {
      stream.off('audio', hear)
      this.#supervisors.delete(supervisor)
    })
  }
}

/** Puts what the caller heard of the application beside what he said: he is the left channel. */
function paired(frame: Buffer, heard: Int16Array | undefined): Buffer {
  const pairs = Buffer.alloc(2 * frame.length)
  for (let at = 0; at < frame.length; at += SAMPLE_BYTES) {
    frame.copy(pairs, 2 * at, at, at + SAMPLE_BYTES)
    const sample = heard?.[at / SAMPLE_BYTES]
    if (sample !== undefined) pairs.writeInt16LE(sample, 2 * at + SAMPLE_BYTES)
  }
  return pairs
}

/**
 * Returns how many channels of a stream are heard and measured: its own, and where the application speaks and jambonz
 * sends the caller alone, a second one with what the caller hears of the application.
 */
export function channelsOf({ channels, mixType, listen }: AudioStream): number {
  return mixType === 'mono' && listen.bidirectional?.mode === 'streaming' ? 2 : channels
}
