import { Readable } from 'node:stream'
import type { FastifyBaseLogger } from 'fastify'
import type { SocketReader } from '../socket/frames/SocketReader.js'
import { EventEmitter } from 'node:events'
import type { Listen } from '../../model/schema.js'
import { SAMPLE_BYTES } from '../../pcm/samples.js'
import { AWAITED, CAPTURING, emitToEach } from './SpeakingDuplex.js'
import type { LiveStream } from './LiveStream.js'

/** maximum ms for which a reader with a full buffer may read nothing. The socket is not read meanwhile. */
const READER_PATIENCE = 30_000
/**
 * Bytes above `maxBuffered` that are kept at the end of a socket, when it must be read even for a slow
 * reader.
 */
const END_ALLOWANCE = 8_388_608

/** Holds the logger, which changes when a socket learns which call it is for. */
export interface Log {
  readonly logger: FastifyBaseLogger
}

/**
 * The readable side of a stream. Frames go into the stream's own buffer. If it has more than `maxBuffered`
 * bytes, the socket is not read. If nobody reads, frames are dropped, unless a handler is still preparing to
 * read.
 */
export class ReaderSide {
  /** true while the side takes frames. */
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

  /** Notes that somebody reads. Returns true the first time. */
  arrive(): boolean {
    if (this.reading || this.#discarding || this.#over) return false
    this.reading = true
    this.#update()
    return true
  }

  /** Keeps at most `bytes` of frames for a reader that may come before `promise` settles. */
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

  /** Gives a frame to the reader. */
  push(frame: Buffer): void {
    const stream = this.#stream
    // `data` is emitted directly, since push() would take one more tick per frame to ask for more.
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

  /** Reads the socket again, since the stream's buffer has room. */
  wanted(): void {
    if (!this.#waits) return
    this.#waits = false
    clearTimeout(this.#patience)
    this.#flow.resumeFor(this)
  }

  /** Ends the readable side, since no more frames come. Without a reader, the stream ends by itself. */
  socketClosed(): void {
    this.#closed = true
    clearTimeout(this.#patience)
    if (!this.#over) this.#stream.push(null)
    this.#over = true
    this.#update()
    if (!this.reading && this.#keepers === 0) this.#stream.resume()
  }

  /** Drops everything, since the stream is destroyed. */
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
      `the reader of the audio stream has stood still for ${READER_PATIENCE} ms: its stream ends, recorder and taps go on`
    )
    this.#over = true
    this.reading = false
    this.#update()
    this.#stream.push(null)
    this.#flow.resumeFor(this)
  }

  // Drops the frames that were kept, since no reader came.
  #stopKeeping(): void {
    this.#update()
    if (this.reading) return
    if (this.#closed) {
      this.#stream.resume()
      return
    }
    this.#discarding = true
    // Before Node.js 26, read() returns all data at once. Since then, it returns the data piece by piece.
    while (this.#stream.read() !== null);
    this.#discarding = false
  }
}

/**
 * The name of a channel, which is the party whose voice it has. jambonz sends the caller on the left, and the
 * audio that is played to the caller on the right (mod_audio_fork).
 */
export type ChannelName = 'caller' | 'callee'
export const CHANNEL_NAMES: readonly string[] = ['caller', 'callee'] satisfies ChannelName[]

/** Returns the side on which a voice is heard. On the leg of the called party, the sides are exchanged. */
export function sideOfVoice(name: ChannelName, { leg }: Pick<Listen, 'leg'>): ChannelName {
  if (leg !== 'callee') return name
  return name === 'caller' ? 'callee' : 'caller'
}

const PAIR_BYTES = 2 * SAMPLE_BYTES

/** A Readable of one side of a stereo stream, as mono L16. Audio is kept for its reader from the beginning. */
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
    // An error of a channel ends the stream of the channel's listen, and nothing else.
    this.on('error', (err) => live.socket.fail(err, 'a channel of the audio stream failed'))
  }

  /** Takes a frame of the whole stream. */
  frame(frame: Buffer): void {
    if (!this.#side.takes) return
    this.#side.push(this.#sideName === 'whole' ? frame : sideOf(frame, this.#sideName))
  }

  /** Ends the channel, since no more audio comes. */
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

/** Returns one side of whole stereo frames. */
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
