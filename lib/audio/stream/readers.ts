import { Readable } from 'node:stream'
import type { FastifyBaseLogger } from 'fastify'
import type { SocketReader } from '../socket/frames/SocketReader.js'
import { EventEmitter } from 'node:events'
import type { Listen } from '../../model/schema.js'
import { SAMPLE_BYTES } from '../../pcm/samples.js'
import { AWAITED, CAPTURING, emitToEach } from './SpeakingDuplex.js'
import type { LiveStream } from './LiveStream.js'

/** ms that a reader may stand still with its buffer full, and the call with it. */
const READER_PATIENCE = 30_000
/** bytes: what the kernel still holds at the end is kept for the reader, up to this over its limit. */
const END_ALLOWANCE = 8_388_608

/** A holder of the logger: a socket may learn only later which call it is for, and then has that call's logger. */
export interface Log {
  readonly logger: FastifyBaseLogger
}

/**
 * The readable side: who reads, what is kept for whom. Frames go into the stream's own buffer; over `maxBuffered`
 * the socket is paused. Nothing is kept when nobody reads, unless a handler is still preparing to.
 */
export class ReaderSide {
  /** True while frames are pushed to the reader. */
  takes = false
  reading = false
  readonly #stream: Readable
  readonly #flow: SocketReader
  readonly #maxBuffered: number
  readonly #log: Log
  #keepers = 0
  #maxKept = 0
  #closed = false
  #over = false
  #discarding = false
  #waits = false
  #patience: NodeJS.Timeout | undefined

  constructor(stream: Readable, flow: SocketReader, maxBuffered: number, log: Log) {
    this.#stream = stream
    this.#flow = flow
    this.#maxBuffered = maxBuffered
    this.#log = log
  }

  /** Somebody reads. Returns true the first time. */
  arrive(): boolean {
    if (this.reading || this.#discarding || this.#over) return false
    this.reading = true
    this.#update()
    return true
  }

  /** Keeps frames for a reader to come until `promise` settles, at most `bytes` of them. */
  keepUntil(promise: Promise<unknown>, bytes: number): void {
    this.#keepers++
    this.#maxKept = Math.min(bytes, this.#maxBuffered)
    this.#update()
    const settled = () => {
      this.#keepers = Math.max(0, this.#keepers - 1)
      if (this.#keepers === 0) this.#stopKeeping()
    }
    promise.then(settled, settled)
  }

  push(frame: Buffer): void {
    const stream = this.#stream
    // What push() would do too, without a tick for each frame to ask for more: frames come by themselves.
    const flows =
      stream.readableFlowing === true &&
      stream.readableLength === 0 &&
      stream.readableDidRead &&
      stream.readableEncoding === null
    if (flows && stream.listenerCount('data') > 0) {
      stream.emit('data', frame)
      return
    }
    stream.push(frame)
    const { readableLength } = stream
    if (!this.reading) {
      if (readableLength > this.#maxKept) {
        this.#keepers = 0
        this.#stopKeeping()
      }
    } else if (readableLength > this.#maxBuffered && !this.#waits) this.#wait(readableLength)
  }

  /** The stream's buffer has room again. */
  wanted(): void {
    if (!this.#waits) return
    this.#waits = false
    clearTimeout(this.#patience)
    this.#flow.resumeFor(this)
  }

  /** No frame comes any more: the reader gets its end, and where there is none the stream ends by itself. */
  socketClosed(): void {
    this.#closed = true
    clearTimeout(this.#patience)
    if (!this.#over) this.#stream.push(null)
    this.#over = true
    this.#update()
    if (!this.reading && this.#keepers === 0) this.#stream.resume()
  }

  /** The stream is destroyed. */
  end(): void {
    clearTimeout(this.#patience)
    this.#over = true
    this.reading = false
    this.#update()
    this.#flow.resumeFor(this)
  }

  #update(): void {
    this.takes = !this.#over && (this.reading || this.#keepers > 0)
  }

  #wait(readableLength: number): void {
    if (this.#flow.waitFor(this)) {
      this.#waits = true
      this.#patience = setTimeout(() => this.#giveUp(), READER_PATIENCE)
    } else if (readableLength > this.#maxBuffered + END_ALLOWANCE) this.#giveUp()
  }

  #giveUp(): void {
    this.#log.logger.error(
      `the reader of the audio stream has stood still for ${READER_PATIENCE} ms: it sees the end, recorder and taps go on`
    )
    this.#over = true
    this.reading = false
    this.#update()
    this.#stream.push(null)
    this.#flow.resumeFor(this)
  }

  // What was kept for a reader that did not come.
  #stopKeeping(): void {
    this.#update()
    if (this.reading) return
    if (this.#closed) {
      this.#stream.resume()
      return
    }
    this.#discarding = true
    // Until Node.js 26 it gives all at once, from then on piece by piece.
    while (this.#stream.read() !== null);
    this.#discarding = false
  }
}

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
