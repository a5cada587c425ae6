import type { Readable } from 'node:stream'
import type { FastifyBaseLogger } from 'fastify'
import type { SocketReader } from '../socket/frames/SocketReader.js'

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
