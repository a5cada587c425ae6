import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import type { Listen } from '../../model/schema.js'
import { SAMPLE_BYTES } from '../../pcm/samples.js'
import { AWAITED, CAPTURING, emitToEach } from './SpeakingDuplex.js'
import type { LiveStream } from './LiveStream.js'
import { ReaderSide } from './ReaderSide.js'

/**
 * The speaker of a channel: jambonz sends the caller on the left, and the audio played to the caller on the right
 * (mod_audio_fork).
 */
export type ChannelName = 'caller' | 'callee'
export const CHANNEL_NAMES: readonly string[] = ['caller', 'callee'] satisfies ChannelName[]

/** Returns the side that a voice is on, by the name of who else is there: at the called party's leg the sides are changed. */
export function sideOfVoice(name: ChannelName, { leg }: Pick<Listen, 'leg'>): ChannelName {
  if (leg !== 'callee') return name
  return name === 'caller' ? 'callee' : 'caller'
}

const PAIR_BYTES = 2 * SAMPLE_BYTES

/** One side of a stereo stream as mono L16. Kept for its reader from the moment it is asked for. */
export class ChannelReader extends Readable {
  readonly #side: ReaderSide
  readonly #sideName: ChannelName | 'whole'
  readonly #live: LiveStream
  readonly #release: () => void
  readonly #threw = (err: unknown): void => this.#live.socket.listenerThrew(err)

  constructor(side: ChannelName | 'whole', live: LiveStream) {
    super(CAPTURING)
    this.#sideName = side
    this.#live = live
    this.#side = new ReaderSide(this, live.socket.reader, live.maxBuffered, live.socket)
    this.#side.arrive()
    this.#release = live.keepLive()
    live.channels.add(this)
    // Destroyed with an error it ends its stream, and nothing else.
    this.on('error', (err) => live.socket.fail(err, 'a channel of the audio stream failed'))
  }

  frame(frame: Buffer): void {
    if (!this.#side.takes) return
    this.#side.push(this.#sideName === 'whole' ? frame : sideOf(frame, this.#sideName))
  }

  /** No audio comes any more. */
  socketClosed(): void {
    this.#side.socketClosed()
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (AWAITED.has(event)) return emitToEach(this, this.#threw, event, args)
    try {
      return super.emit(event, ...args)
    } catch (err) {
      this.#threw(err)
      return true
    }
  }

  override [EventEmitter.captureRejectionSymbol](err: Error): void {
    this.#live.socket.listenerThrew(err)
  }

  override _read(): void {
    this.#side.wanted()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#side.end()
    this.#live.channels.delete(this)
    this.#release()
    callback(error?.name === 'AbortError' ? null : error)
  }
}

/** One side of whole stereo frames. */
export function sideOf(pairs: Buffer, side: ChannelName): Buffer {
  const mono = Buffer.allocUnsafe(pairs.length / 2)
  for (
    let from = side === 'caller' ? 0 : SAMPLE_BYTES, to = 0;
    from < pairs.length;
    from += PAIR_BYTES, to += SAMPLE_BYTES
  ) {
    mono[to] = pairs[from] ?? 0
    mono[to + 1] = pairs[from + 1] ?? 0
  }
  return mono
}
