import type { WebSocket } from 'ws'
import { BATCH_INTERVAL, batchWheel, type Batched } from './BatchWheel.js'
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
/** A socket is being read: what a listener has read meanwhile goes elsewhere. */
let isRead = false

/**
 * Whether the socket is read. Pausing is by the reasons that stand against reading, so that one that goes away does
 * not override another. A paused socket sees neither its close nor its pongs: who waits for those calls `force`.
 */
export class Flow implements Batched {
  /** ms between two reads of a batch */
  interval = BATCH_INTERVAL
  readonly #socket: WebSocket
  readonly #frames: FrameReader | undefined
  readonly #onBatch: () => void
  readonly #slowReaders = new Set<object>()
  #holds = 0
  #batched = false
  #reading = false
  #forced = false

  /** `frames`: what reads the socket's bytes; undefined where only ws can. `onBatch`: after each that was read */
  constructor(socket: WebSocket, frames?: FrameReader, onBatch: () => void = () => {}) {
    this.#socket = socket
    this.#frames = frames
    this.#onBatch = onBatch
  }

  /** true while the socket is not read because a reader is too slow. */
  get waitsForReader(): boolean {
    return (this.#holds & READER) !== 0
  }

  get batched(): boolean {
    return this.#batched
  }

  /** Until it is known whose audio it is. */
  identifying(yes: boolean): void {
    this.#hold(IDENTIFYING, yes)
  }

  /** Until `reader` has room again. false: the end is near, the socket is read on. */
  waitFor(reader: object): boolean {
    this.#slowReaders.add(reader)
    this.#hold(READER, true)
    return this.waitsForReader
  }

  resumeFor(reader: object): void {
    this.#slowReaders.delete(reader)
    this.#hold(READER, this.#slowReaders.size > 0)
  }

  /** Read in batches from now on, every `interval` ms. */
  batch(interval: number): void {
    if ((this.#batched && this.interval === interval) || this.#forced) return
    if (this.#batched) batchWheel.remove(this)
    this.#batched = true
    this.interval = interval
    batchWheel.add(this)
    this.#hold(BATCH, true)
  }

  /** Reads now what a batched socket holds, where that is possible: what comes after was sent after. */
  catchUp(): void {
    if (this.#batched && this.#frames !== undefined && !this.#reading) this.#readBatch(this.#frames)
  }

  /** Read as it comes from now on. */
  live(): void {
    if (!this.#batched) return
    this.#batched = false
    batchWheel.remove(this)
    this.#hold(BATCH, false)
  }

  /** Reads whatever stands against it, until the socket closes: its end is waited for. */
  force(): void {
    this.#forced = true
    this.live()
    this.#set(this.#holds & IDENTIFYING)
  }

  open(): boolean {
    if (this.#frames !== undefined && this.#readBatch(this.#frames)) return false
    this.#hold(BATCH, false)
    return true
  }

  shut(): void {
    if (!this.#batched || this.#closing()) return
    this.#hold(BATCH, true)
    this.#onBatch()
  }

  /** The socket has closed. */
  end(): void {
    this.#forced = true
    if (this.#batched) batchWheel.remove(this)
    this.#batched = false
  }

  // false: it has to be read as sockets are, if only to see its end.
  #readBatch(frames: FrameReader): boolean {
    const nested = isRead
    const bytes = nested ? Buffer.allocUnsafeSlow(BATCH_BYTES.length) : BATCH_BYTES
    const view = nested ? new DataView(bytes.buffer) : BATCH_VIEW
    isRead = this.#reading = true
    try {
      if (!this.#readInto(bytes, view, frames)) return false
    } finally {
      isRead = nested
      this.#reading = false
    }
    this.#onBatch()
    return this.#holds !== BATCH || !this.#closing()
  }

  #readInto(bytes: Buffer, view: DataView, frames: FrameReader): boolean {
    for (let reads = 0; reads < MAX_READS && this.#holds === BATCH; reads++) {
      const count = readWaiting(this.#socket, bytes)
      if (count === UNREADABLE) return false
      if (count > 0) frames.read(bytes.subarray(0, count), view, true)
      if (count < bytes.length) break
    }
    return true
  }

  // The close frame was among what was read: nothing but the connection's end can follow.
  #closing(): boolean {
    if (this.#socket.readyState === this.#socket.OPEN) return false
    this.live()
    return true
  }

  #hold(reason: number, yes: boolean): void {
    this.#set(yes ? this.#holds | reason : this.#holds & ~reason)
  }

  #set(holds: number): void {
    const next = this.#forced ? holds & IDENTIFYING : holds
    if (next === this.#holds) return
    const paused = this.#holds !== 0
    this.#holds = next
    if (next === 0) startReading(this.#socket)
    else if (!paused) stopReading(this.#socket)
  }
}
