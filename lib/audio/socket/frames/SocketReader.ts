import type { WebSocket } from 'ws'
import { FrameParser, type OnAudio } from './FrameParser.js'
import { Internals, UNREADABLE, type Misfit } from './Internals.js'

/** Maximum ms between two reads of a socket to which no application listens. Audio waits in the kernel meanwhile. */
export const BATCH_INTERVAL = 800
/**
 * ms between two reads of a socket whose application listens, and does not speak. Fewer reads save time, since a read
 * costs more than a frame in it, above all if it has to wake Node. Speech recognition waits for longer pieces anyway.
 */
export const LISTENING_INTERVAL = 40
/**
 * Maximum ms until a socket is read for the first time. The first read shows how late audio arrives on this connection,
 * and a pause needs that to find the audio that was said before the pause ended.
 */
const FIRST_READ = 60

export interface Batched {
  /** ms between two reads */
  readonly interval: number
  /** Reads what has arrived. Returns true if only Node can read the socket: Node then reads until `shut()`. */
  open(): boolean
  shut(): void
}

/**
 * A timer for all sockets that are read in batches. Its slots spread the reads over time. A socket that can't be read
 * directly is opened in the timer and shut in the next setImmediate, since Node polls sockets between the two.
 */
class BatchWheel {
  readonly #slotMs: number
  readonly #slots: Array<Set<Batched>>
  readonly #places = new Map<Batched, Set<Batched>>()
  // Members that have not been read yet.
  readonly #added = new Set<Batched>()
  #current = 0
  #timer: NodeJS.Timeout | undefined

  /** `longest`: ms of the longest interval of a member; `slotMs`: ms of a slot */
  constructor(longest: number, slotMs: number) {
    this.#slotMs = slotMs
    this.#slots = Array.from({ length: longest / slotMs }, () => new Set())
  }

  add(member: Batched): void {
    this.#added.add(member)
    this.#put(member, this.#emptiest(this.#steps(Math.min(FIRST_READ, member.interval))))
    this.#timer ??= setInterval(() => this.#turn(), this.#slotMs)
  }

  remove(member: Batched): void {
    this.#places.get(member)?.delete(member)
    this.#places.delete(member)
    this.#added.delete(member)
    if (this.#places.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #turn(): void {
    this.#current = (this.#current + 1) % this.#slots.length
    const slot = this.#slot(0)
    if (slot.size === 0) return
    const opened: Batched[] = []
    // The slot is copied, since a read may remove members, and add them again.
    for (const member of [...slot]) {
      if (this.#places.get(member) !== slot) continue
      slot.delete(member)
      const steps = this.#steps(member.interval)
      this.#put(member, this.#added.delete(member) ? this.#emptiest(steps) : this.#slot(steps))
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

  /** Returns the slot with the fewest members among the next `ahead` slots. */
  #emptiest(ahead: number): Set<Batched> {
    let emptiest = this.#slot(1)
    for (let next = 2; next <= ahead; next++) {
      const slot = this.#slot(next)
      if (slot.size < emptiest.size) emptiest = slot
    }
    return emptiest
  }

  #slot(ahead: number): Set<Batched> {
    return this.#slots[(this.#current + ahead) % this.#slots.length] as Set<Batched>
  }

  #steps(ms: number): number {
    return Math.min(this.#slots.length, Math.max(1, Math.floor(ms / this.#slotMs)))
  }
}

/** The wheels of this process, for sockets without and with an application that listens. */
const batchWheel = new BatchWheel(BATCH_INTERVAL, 20)
const listeningWheel = new BatchWheel(LISTENING_INTERVAL, 10)

// Reasons not to read a socket: the listen is not known yet; a reader is slower than the call; the next batch is not
// due.
const IDENTIFYING = 1
const READER = 2
const BATCH = 4

/** The buffer that all batched sockets are read into, one after the other. */
const SHARED_BYTES = Buffer.allocUnsafeSlow(65_536)
const SHARED_VIEW = new DataView(SHARED_BYTES.buffer)
/** Maximum number of reads of one socket in a row. The rest waits for the next turn. */
const MAX_READS = 16
/** Maximum number of reads in a row for `readNow()`, enough for all bytes that the kernel holds of one connection. */
const MAX_READS_NOW = 128
/** true while the shared buffer is in use. A listener that reads another socket meanwhile uses another buffer. */
let isRead = false

/** The reason for which ws alone reads a socket. `off`: `limits.fastReader` is false. */
export type SlowReason = 'off' | Misfit

export interface SocketReaderOptions {
  /** true to use the fast reader, if the internals of ws and Node are as it expects */
  fast: boolean
  /** maximum bytes of one message */
  maxPayload: number
  /** Returns true if somebody may keep the audio that is delivered now. */
  isKept: () => boolean
  onAudio: OnAudio
  /** called after each batch */
  onRest: () => void
}

/**
 * Reads the frames of one websocket: as they come, in batches, or not at all. It reads while no reason against reading
 * is left. While a socket is not read, its close and pongs are not seen; to wait for these, call `readToEnd()`.
 */
export class SocketReader implements Batched {
  /** undefined if ws alone reads and writes the socket */
  readonly internals: Internals | undefined
  /** ms between two reads of a batch */
  interval = BATCH_INTERVAL
  /** undefined if the fast reader reads the socket */
  readonly slowReason: SlowReason | undefined
  readonly #socket: WebSocket
  readonly #frames: FrameParser | undefined
  readonly #onRest: () => void
  readonly #slowReaders = new Set<object>()
  #holds = 0
  // The wheel that reads the batches; undefined while audio is read as it comes.
  #wheel: BatchWheel | undefined
  #reading = false
  #toEnd = false

  constructor(socket: WebSocket, { fast, maxPayload, isKept, onAudio, onRest }: SocketReaderOptions) {
    this.#socket = socket
    const internals = fast ? Internals.of(socket) : 'off'
    if (typeof internals === 'string') this.slowReason = internals
    else {
      this.internals = internals
      this.#frames = new FrameParser(internals, maxPayload, isKept, onAudio)
    }
    this.#onRest = onRest
  }

  /** true while the socket is not read because a reader is too slow. */
  get waitsForReader(): boolean {
    return (this.#holds & READER) !== 0
  }

  /** true while a message has arrived in part. */
  get isWithinMessage(): boolean {
    return this.#frames?.isWithinMessage ?? false
  }

  /** ms by which a message may seem late, because its batch was read late. */
  get lateBy(): number {
    return this.#wheel && this.#frames === undefined ? this.interval : 0
  }

  /** ms between two reads; 0 while audio is read as it comes. */
  get readMs(): number {
    return this.#wheel ? this.interval : 0
  }

  /** Stops reading while the listen is being identified (true), or reads again (false). */
  identifying(yes: boolean): void {
    this.#hold(IDENTIFYING, yes)
  }

  /** Stops reading until `resumeFor(reader)`. Returns false, and reads on, if the socket is read to its end. */
  waitFor(reader: object): boolean {
    this.#slowReaders.add(reader)
    this.#hold(READER, true)
    return this.waitsForReader
  }

  /** Reads again, if no other reader is slow. */
  resumeFor(reader: object): void {
    this.#slowReaders.delete(reader)
    this.#hold(READER, this.#slowReaders.size > 0)
  }

  /** Reads a batch every `interval` ms from now on, and delivers the audio of each batch as one message. */
  batch(interval: number): void {
    this.#readEvery(interval, batchWheel)
  }

  /**
   * Reads every LISTENING_INTERVAL ms from now on, and delivers message by message. A socket that can't be read
   * directly is read as audio comes.
   */
  listen(): void {
    if (this.internals?.readsWaiting) this.#readEvery(LISTENING_INTERVAL, listeningWheel)
    else this.live()
  }

  /** Reads audio as it comes from now on. */
  live(): void {
    if (this.#wheel === undefined) return
    this.#turnBy(undefined)
    this.#hold(BATCH, false)
  }

  /** Reads all bytes that the kernel holds. Returns false if they can't be read, or if some are left. */
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

  /** Reads until the socket closes, even if a reader is slow or the next batch is not due. */
  readToEnd(): void {
    this.#toEnd = true
    this.live()
    this.#set(this.#holds & IDENTIFYING)
  }

  open(): boolean {
    if (this.#frames && this.internals && this.#readBatch(this.#frames, this.internals)) return false
    this.#hold(BATCH, false)
    return true
  }

  shut(): void {
    if (this.#wheel === undefined || this.#closing()) return
    this.#hold(BATCH, true)
    this.#rest()
  }

  /** Stops reading, because the socket has closed. */
  end(): void {
    this.#toEnd = true
    this.#turnBy(undefined)
  }

  // Returns false if Node has to read the socket, perhaps only to see its end.
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
    this.#rest()
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

  // Returns true if a close frame was read, so that only the end of the connection can follow.
  #closing(): boolean {
    if (this.#socket.readyState === this.#socket.OPEN) return false
    this.live()
    return true
  }

  #readEvery(interval: number, wheel: BatchWheel): void {
    if (this.#toEnd || (this.#wheel === wheel && this.interval === interval)) return
    this.interval = interval
    this.#turnBy(wheel)
    this.#hold(BATCH, true)
  }

  #turnBy(wheel: BatchWheel | undefined): void {
    this.#wheel?.remove(this)
    this.#wheel = wheel
    wheel?.add(this)
    if (this.#frames) this.#frames.merging = wheel === batchWheel
  }

  // The sinks of a listening application do not rest after each batch, since the recorder would write each to the disk.
  #rest(): void {
    if (this.#wheel === batchWheel) this.#onRest()
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
