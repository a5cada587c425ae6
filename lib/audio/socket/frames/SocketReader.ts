import type { WebSocket } from 'ws'
import { FrameParser, type OnAudio } from './FrameParser.js'
import { Internals, UNREADABLE, type Misfit } from './Internals.js'

/** ms between two reads of a batched socket, at most; what comes meanwhile waits in the kernel. */
export const BATCH_INTERVAL = 800
const SLOT_MS = 20
const SLOTS = BATCH_INTERVAL / SLOT_MS

export interface Batched {
  /** ms between two reads */
  readonly interval: number
  /** Reads what waits; true where it can't, and the socket has to be open until `shut`. */
  open(): boolean
  shut(): void
}

/**
 * One timer for all calls that nobody listens to live, spread over slots so that not all are read at once. Where a
 * socket can't be read directly: Node polls the sockets between a timer and the next setImmediate; what was opened in
 * the one is read out before it is shut in the other.
 */
export class BatchWheel {
  readonly #slots: Array<Set<Batched>> = Array.from({ length: SLOTS }, () => new Set())
  readonly #places = new Map<Batched, Set<Batched>>()
  #current = 0
  #timer: NodeJS.Timeout | undefined

  get size(): number {
    return this.#places.size
  }

  add(member: Batched): void {
    let emptiest = this.#slot(1)
    for (let ahead = 2; ahead <= stepsOf(member); ahead++) {
      const slot = this.#slot(ahead)
      if (slot.size < emptiest.size) emptiest = slot
    }
    this.#put(member, emptiest)
    this.#timer ??= setInterval(() => this.#turn(), SLOT_MS)
  }

  remove(member: Batched): void {
    this.#places.get(member)?.delete(member)
    this.#places.delete(member)
    if (this.#places.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #turn(): void {
    this.#current = (this.#current + 1) % SLOTS
    const slot = this.#slot(0)
    if (slot.size === 0) return
    const opened: Batched[] = []
    // Reading may take members out, and put them back.
    for (const member of [...slot]) {
      if (this.#places.get(member) !== slot) continue
      slot.delete(member)
      this.#put(member, this.#slot(stepsOf(member)))
      if (member.open()) opened.push(member)
    }
    if (opened.length > 0) {
      setImmediate(() => {
        for (const member of opened) member.shut()
      })
    }
  }

  #put(member: Batched, slot: Set<Batched>): void {
    slot.add(member)
    this.#places.set(member, slot)
  }

  #slot(ahead: number): Set<Batched> {
    return this.#slots[(this.#current + ahead) % SLOTS] as Set<Batched>
  }
}

function stepsOf({ interval }: Batched): number {
  return Math.min(SLOTS, Math.max(1, Math.floor(interval / SLOT_MS)))
}

/** The wheel of this process. */
export const batchWheel = new BatchWheel()

// Why a socket is not read: nobody knows yet whose audio it is; a reader is slower than the call; nobody is in a hurry.
const IDENTIFYING = 1
const READER = 2
const BATCH = 4

/** The buffer that sockets are read into, one after the other. */
const SHARED_BYTES = Buffer.allocUnsafeSlow(65_536)
const SHARED_VIEW = new DataView(SHARED_BYTES.buffer)
/** Reads of one socket in a row: more is for the next turn. */
const MAX_READS = 16
/** Reads in a row where all has to be read: as much as the kernel holds of one connection. */
const MAX_READS_NOW = 128
/** A socket is being read: what a listener has read meanwhile goes elsewhere. */
let isRead = false

/** Why ws alone reads a socket: `off` is `limits.fastReader: false`. */
export type SlowReason = 'off' | Misfit

export interface SocketReaderOptions {
  /** read audio before ws does, where ws and Node are as expected */
  fast: boolean
  /** bytes of one message */
  maxPayload: number
  onAudio: OnAudio
  /** called after each batch */
  onRest: () => void
}

/**
 * Reads the frames of one websocket: as they come, in batches, or not at all. Pausing is by the reasons that stand
 * against reading, so that one that goes away does not override another. A paused socket sees neither its close nor
 * its pongs: who waits for those calls `readToEnd`.
 */
export class SocketReader implements Batched {
  /** undefined where ws alone reads and writes the socket */
  readonly internals: Internals | undefined
  /** ms between two reads of a batch */
  interval = BATCH_INTERVAL
  /** undefined where the fast reader reads the socket */
  readonly slowReason: SlowReason | undefined
  readonly #socket: WebSocket
  readonly #frames: FrameParser | undefined
  readonly #onRest: () => void
  readonly #slowReaders = new Set<object>()
  #holds = 0
  #batched = false
  #reading = false
  #toEnd = false

  constructor(socket: WebSocket, { fast, maxPayload, onAudio, onRest }: SocketReaderOptions) {
    this.#socket = socket
    const internals = fast ? Internals.of(socket) : 'off'
    if (typeof internals === 'string') this.slowReason = internals
    else {
      this.internals = internals
      this.#frames = new FrameParser(internals, maxPayload, onAudio)
    }
    this.#onRest = onRest
  }

  /** true while the socket is not read because a reader is too slow. */
  get waitsForReader(): boolean {
    return (this.#holds & READER) !== 0
  }

  /** true while a message has come in part. */
  get isWithinMessage(): boolean {
    return this.#frames?.isWithinMessage ?? false
  }

  /** ms by which a message may be late because it was counted when its batch was read. */
  get lateBy(): number {
    return this.#batched && this.#frames === undefined ? this.interval : 0
  }

  /** ms between two reads of a batch; 0 where audio is read as it comes. */
  get readMs(): number {
    return this.#batched ? this.interval : 0
  }

  /** Reads nothing until it is known whose audio it is. */
  identifying(yes: boolean): void {
    this.#hold(IDENTIFYING, yes)
  }

  /** Reads nothing until `reader` has room again. Returns false where the end is near: the socket is read on. */
  waitFor(reader: object): boolean {
    this.#slowReaders.add(reader)
    this.#hold(READER, true)
    return this.waitsForReader
  }

  resumeFor(reader: object): void {
    this.#slowReaders.delete(reader)
    this.#hold(READER, this.#slowReaders.size > 0)
  }

  /** Reads in batches from now on, every `interval` ms. */
  batch(interval: number): void {
    if ((this.#batched && this.interval === interval) || this.#toEnd) return
    if (this.#batched) batchWheel.remove(this)
    this.#setBatched(true)
    this.interval = interval
    batchWheel.add(this)
    this.#hold(BATCH, true)
  }

  /** Reads as it comes from now on. */
  live(): void {
    if (!this.#batched) return
    this.#setBatched(false)
    batchWheel.remove(this)
    this.#hold(BATCH, false)
  }

  /** Reads now what the kernel holds. Returns false where that is not possible, or not all of it was read. */
  readNow(): boolean {
    const frames = this.#frames
    const { internals } = this
    if (
      frames === undefined ||
      internals === undefined ||
      this.#reading ||
      (this.#holds & IDENTIFYING) !== 0
    ) {
      return false
    }
    return this.#readWith(frames, (bytes, view) => {
      for (let reads = 0; reads < MAX_READS_NOW; reads++) {
        const count = internals.readWaiting(bytes)
        if (count === UNREADABLE) return false
        if (count > 0) frames.read(bytes, view, count, true)
        if (count < bytes.length) return true
      }
      return false
    })
  }

  /** Reads on until the socket closes, whatever stands against it: its end is waited for. */
  readToEnd(): void {
    this.#toEnd = true
    this.live()
    this.#set(this.#holds & IDENTIFYING)
  }

  /** Reads a batch. Returns true where that has to be left to Node, until `shut`. */
  open(): boolean {
    if (this.#frames && this.internals && this.#readBatch(this.#frames, this.internals)) return false
    this.#hold(BATCH, false)
    return true
  }

  shut(): void {
    if (!this.#batched || this.#closing()) return
    this.#hold(BATCH, true)
    this.#onRest()
  }

  /** The socket has closed. */
  end(): void {
    this.#toEnd = true
    if (this.#batched) batchWheel.remove(this)
    this.#batched = false
  }

  // false: it has to be read as sockets are, if only to see its end.
  #readBatch(frames: FrameParser, internals: Internals): boolean {
    const isReadable = this.#readWith(frames, (bytes, view) => {
      for (let reads = 0; reads < MAX_READS && this.#holds === BATCH; reads++) {
        const count = internals.readWaiting(bytes)
        if (count === UNREADABLE) return false
        if (count > 0) frames.read(bytes, view, count, true)
        if (count < bytes.length) break
      }
      return true
    })
    if (!isReadable) return false
    this.#onRest()
    return this.#holds !== BATCH || !this.#closing()
  }

  #readWith(frames: FrameParser, read: (bytes: Buffer, view: DataView) => boolean): boolean {
    const nested = isRead
    const bytes = nested ? Buffer.allocUnsafeSlow(SHARED_BYTES.length) : SHARED_BYTES
    const view = nested ? new DataView(bytes.buffer) : SHARED_VIEW
    isRead = this.#reading = true
    try {
      return read(bytes, view)
    } finally {
      isRead = nested
      this.#reading = false
    }
  }

  // The close frame was among what was read: nothing but the connection's end can follow.
  #closing(): boolean {
    if (this.#socket.readyState === this.#socket.OPEN) return false
    this.live()
    return true
  }

  #setBatched(batched: boolean): void {
    this.#batched = batched
    if (this.#frames) this.#frames.merging = batched
  }

  #hold(reason: number, yes: boolean): void {
    this.#set(yes ? this.#holds | reason : this.#holds & ~reason)
  }

  #set(holds: number): void {
    const next = this.#toEnd ? holds & IDENTIFYING : holds
    if (next === this.#holds) return
    const paused = this.#holds !== 0
    this.#holds = next
    if (next === 0) {
      this.internals?.startReading()
      this.#socket.resume()
    } else if (!paused) {
      this.#socket.pause()
      this.internals?.stopReading()
    }
  }
}
