import type { WebSocket } from 'ws'
import { batchWheel, type Batched } from './BatchWheel.js'
import type { FrameReader } from './FrameReader.js'
import { readWaiting, startReading, stopReading, UNREADABLE } from './reading.js'

// Why a socket is not read: nobody knows yet whose audio it is; a reader is slower than the call; nobody is in a hurry.
const IDENTIFYING = 1
const READER = 2
const BATCH = 4

/** Where batches are read to, of one socket after the other. */
const BATCH_BYTES = Buffer.allocUnsafeSlow(65_536)
const BATCH_VIEW = new DataView(BATCH_BYTES.buffer)
/** Reads of one socket in a row: more is for the next turn. */
const MAX_READS = 16

/**
 * Whether the socket is read. Pausing is by the reasons that stand against reading, so that one that goes away does
 * not override another. A paused socket sees neither its close nor its pongs: who waits for those calls `force`.
 */
export class Flow implements Batched {
  readonly #socket: WebSocket
  readonly #frames: FrameReader | undefined
  readonly #slowReaders = new Set<object>()
  #holds = 0
  #batched = false
  #forced = false

  /** `frames`: what reads the socket's bytes; undefined where only ws can */
  constructor (socket: WebSocket, frames?: FrameReader) {
    this.#socket = socket
    this.#frames = frames
  }

  /** true while the socket is not read because a reader is too slow. */
  get waitsForReader (): boolean {
    return (this.#holds & READER) !== 0
  }

  get batched (): boolean {
    return this.#batched
  }

  /** Until it is known whose audio it is. */
  identifying (yes: boolean): void {
    this.#hold(IDENTIFYING, yes)
  }

  /** Until `reader` has room again. false: the end is near, the socket is read on. */
  waitFor (reader: object): boolean {
    this.#slowReaders.add(reader)
    this.#hold(READER, true)
    return this.waitsForReader
  }

  resumeFor (reader: object): void {
    this.#slowReaders.delete(reader)
    this.#hold(READER, this.#slowReaders.size > 0)
  }

  /** Read in batches from now on. */
  batch (): void {
    if (this.#batched || this.#forced) return
    this.#batched = true
    batchWheel.add(this)
    this.#hold(BATCH, true)
  }

  /** Read as it comes from now on. */
  live (): void {
    if (!this.#batched) return
    this.#batched = false
    batchWheel.remove(this)
    this.#hold(BATCH, false)
  }

  /** Reads whatever stands against it, until the socket closes: its end is waited for. */
  force (): void {
    this.#forced = true
    this.live()
    this.#set(this.#holds & IDENTIFYING)
  }

  open (): boolean {
    if (this.#frames !== undefined && this.#readBatch(this.#frames)) return false
    this.#hold(BATCH, false)
    return true
  }

  shut (): void {
    if (this.#batched && !this.#closing()) this.#hold(BATCH, true)
  }

  /** The socket has closed. */
  end (): void {
    this.#forced = true
    if (this.#batched) batchWheel.remove(this)
    this.#batched = false
  }

  // false: it has to be read as sockets are, if only to see its end.
  #readBatch (frames: FrameReader): boolean {
    for (let reads = 0; reads < MAX_READS && this.#holds === BATCH; reads++) {
      const bytes = readWaiting(this.#socket, BATCH_BYTES)
      if (bytes === UNREADABLE) return false
      if (bytes > 0) frames.read(BATCH_BYTES.subarray(0, bytes), BATCH_VIEW, true)
      if (bytes < BATCH_BYTES.length) break
    }
    return this.#holds !== BATCH || !this.#closing()
  }

  // The close frame was among what was read: nothing but the connection's end can follow.
  #closing (): boolean {
    if (this.#socket.readyState === this.#socket.OPEN) return false
    this.live()
    return true
  }

  #hold (reason: number, yes: boolean): void {
    this.#set(yes ? this.#holds | reason : this.#holds & ~reason)
  }

  #set (holds: number): void {
    const next = this.#forced ? holds & IDENTIFYING : holds
    if (next === this.#holds) return
    const paused = this.#holds !== 0
    this.#holds = next
    if (next === 0) startReading(this.#socket)
    else if (!paused) stopReading(this.#socket)
  }
}
