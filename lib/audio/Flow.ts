import type { WebSocket } from 'ws'
import { batchWheel, type Batched } from './BatchWheel.js'
import { startReading, stopReading } from './reading.js'

/** Why a socket is not read. */
export type HoldReason = typeof IDENTIFYING | typeof READER | typeof BATCH
/** Nobody knows yet whose audio it is. */
export const IDENTIFYING = 1
/** A reader is slower than the call. */
export const READER = 2
const BATCH = 4

/**
 * Whether the socket is read. Pausing is by the reasons that stand against reading, so that one that goes away does
 * not override another. A paused socket sees neither its close nor its pongs: who waits for those calls `force`.
 */
export class Flow implements Batched {
  readonly #socket: WebSocket
  #holds = 0
  #batched = false
  #forced = false

  constructor (socket: WebSocket) {
    this.#socket = socket
  }

  /** true while the socket is not read because a reader is too slow. */
  get waitsForReader (): boolean {
    return (this.#holds & READER) !== 0
  }

  get batched (): boolean {
    return this.#batched
  }

  hold (reason: HoldReason): void {
    this.#set(this.#holds | reason)
  }

  release (reason: HoldReason): void {
    this.#set(this.#holds & ~reason)
  }

  /** Read in batches from now on. */
  batch (): void {
    if (this.#batched || this.#forced) return
    this.#batched = true
    batchWheel.add(this)
    this.hold(BATCH)
  }

  /** Read as it comes from now on. */
  live (): void {
    if (!this.#batched) return
    this.#batched = false
    batchWheel.remove(this)
    this.release(BATCH)
  }

  /** Reads whatever stands against it, until the socket closes: its end is waited for. */
  force (): void {
    this.#forced = true
    this.live()
    this.#set(this.#holds & IDENTIFYING)
  }

  open (): void {
    this.release(BATCH)
  }

  shut (): void {
    if (!this.#batched) return
    // The close frame was among what was read: nothing but the connection's end can follow.
    if (this.#socket.readyState !== this.#socket.OPEN) this.live()
    else this.hold(BATCH)
  }

  /** The socket has closed. */
  end (): void {
    this.#forced = true
    if (this.#batched) batchWheel.remove(this)
    this.#batched = false
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
