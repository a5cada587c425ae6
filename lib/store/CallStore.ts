import type { FastifyBaseLogger } from 'fastify'
import type { CallWrite } from '../model/callWrite.js'
import type { StoredCall, StoredListen } from '../model/schema.js'

export interface Written {
  /** this write made the call known; true once per call, whatever the number of instances */
  created: boolean
  /** of each part of the write: its guards held, and it was written */
  applied: readonly boolean[]
  /** false: the store is away, only this instance knows of the write, and the store is told when it returns */
  kept: boolean
  /** as it is after the write; of a call that nobody knows, an empty one */
  call: StoredCall
}

/** True when the call's listen, undefined when the call has none of that id, is what is waited for. */
export type Reached = (listen: StoredListen | undefined) => boolean

/** A listen whose instance is gone. */
export interface LostListen {
  callSid: string
  listenId: string
  /** the one that is gone */
  instance: string
}

export interface StoreContext {
  /** ms a call is kept after its last event */
  callTtl: number
  /**
   * ms a call is kept after its last event where that is longer: one that has not ended, and has a listen that no
   * socket has come for, which may still open. Default: callTtl
   */
  expectedTtl?: number
  /** name of this instance, as it stands in `Listen.instance` */
  instance: string
  logger: FastifyBaseLogger
  /**
   * Told of each listen that has not ended and whose `instance` is gone: on all other instances, perhaps more than
   * once, until its promise resolves.
   */
  lost?: (listen: LostListen) => Promise<void>
  /** Takes what another instance has told with `tell()`. */
  told?: (message: unknown) => void
}

export interface StoreHealth {
  /** false: the store does not do all it should; see `problem` */
  available: boolean
  /** calls with something that is yet to be written */
  pending: number
  /** calls whose waiting writes had to be given up, since the start */
  dropped: number
  /** what is wrong, in words for an operator; undefined where nothing is */
  problem?: string
}

/**
 * The store of the calls: the memory of one process (`memoryStore`), or a Redis that several share (`redisStore`). It
 * does what only a store can do: lib/correlation knows what an event means for a call, `applyWrite` how a write changes
 * a call.
 * Calls handed out are snapshots, deeply frozen. Every promise settles in bounded time, and none rejects because a
 * server is away.
 */
export interface CallStore {
  /** true where several instances see the same calls */
  readonly shared: boolean
  /** Called once, before anything else. */
  start(context: StoreContext): Promise<void>
  /** Resolves to the call with all its listens, in the order they were added; undefined when unknown or expired. */
  get(callSid: string): Promise<StoredCall | undefined>
  /** Resolves to the calls the store knows, newest first. */
  list(): Promise<StoredCall[]>
  /**
   * Writes the parts of which all guards hold, in one step: no other write comes in between. Creates the call when it
   * is unknown and a part is written. A call whose listen streams is kept for as long as it does.
   */
  write(callSid: string, write: CallWrite): Promise<Written>
  /**
   * Resolves with the call as soon as its listen is what is waited for, or as it stands after `timeoutMs`; at once when
   * the call is unknown. `reached` is asked at once, and after each write, on any instance, that wakes the listen.
   */
  waitFor(
    callSid: string,
    listenId: string,
    reached: Reached,
    timeoutMs: number
  ): Promise<StoredCall | undefined>
  /** Tells the other instances that share the store something, JSON: once, and not at all while the store is away. */
  tell(message: unknown): void
  /** Returns how well the store can be reached. */
  health(): StoreHealth
  /** Nothing is called after it. Whoever waits is let go. */
  close(): Promise<void>
}
