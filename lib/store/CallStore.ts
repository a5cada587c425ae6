import type { FastifyBaseLogger } from 'fastify'
import type { CallWrite } from '../model/callWrite.js'
import type { StoredCall, StoredListen } from '../model/schema.js'

export interface Written {
  /** true if this write created the call: once per call, over all instances */
  created: boolean
  /** for each part of the write: true if its guards held, and it was written */
  applied: readonly boolean[]
  /** false: the store is away. Only this instance knows of the write, which the store gets when it returns. */
  kept: boolean
  /** the call after the write; an empty one if the call is unknown */
  call: StoredCall
}

/**
 * Returns true for the awaited state of a listen; `listen` is undefined if the call has none of that id.
 */
export type Reached = (listen: StoredListen | undefined) => boolean

/** A listen whose instance died. */
export interface LostListen {
  callSid: string
  listenId: string
  /** the instance that died */
  instance: string
}

export interface StoreContext {
  /** ms that a call is kept after its last event */
  callTtl: number
  /**
   * ms that a call is kept after its last event, if that is longer, while it has not ended and has a listen whose
   * socket may still open. Default: callTtl
   */
  expectedTtl?: number
  /** name of this instance, for `Listen.instance` */
  instance: string
  logger: FastifyBaseLogger
  /**
   * Called for each open listen whose `instance` or `watcher` died: on all other instances, perhaps more than once,
   * until its promise resolves.
   */
  lost?: (listen: LostListen) => Promise<void>
  /** Called with each message that another instance sent with `tell()`. */
  told?: (message: unknown) => void
}

export interface StoreHealth {
  /** false: the store does not work fully; see `problem` */
  available: boolean
  /** calls with writes that the store does not have yet */
  pending: number
  /** calls whose pending writes were dropped, since the start */
  dropped: number
  /** the problem, in words for an operator; undefined if there is none */
  problem?: string
}

/**
 * The store of the calls: the memory of one process (`memoryStore`), or a Redis that several processes share
 * (`redisStore`). It reads, writes and waits; lib/correlation decides what an event changes in a call. The returned
 * calls are deeply frozen snapshots. Every promise settles in bounded time, and none rejects because a server is away.
 */
export interface CallStore {
  /** true if several instances share the calls */
  readonly shared: boolean
  /** Starts the store. It is called once, before all other methods. */
  start(context: StoreContext): Promise<void>
  /** Resolves to the call with its listens, in the order they were added; to undefined if it is unknown or expired. */
  get(callSid: string): Promise<StoredCall | undefined>
  /** Resolves to all calls, newest first. */
  list(): Promise<StoredCall[]>
  /**
   * Writes the parts of which all guards hold, in one atomic step. Creates an unknown call if a part is written. A call
   * is kept as long as a listen of it streams.
   */
  write(callSid: string, write: CallWrite): Promise<Written>
  /**
   * Resolves to the call when `reached` returns true for its listen, or after `timeoutMs`; at once if the call is
   * unknown. `reached` is called at once, and after each write, on any instance, that wakes the listen.
   */
  waitFor(
    callSid: string,
    listenId: string,
    reached: Reached,
    timeoutMs: number
  ): Promise<StoredCall | undefined>
  /**
   * Sends a message, JSON, to the other instances that share the store. It is lost while the store is away.
   */
  tell(message: unknown): void
  /** Returns the state of the store. */
  health(): StoreHealth
  /** Closes the store, which calls nothing afterwards. All waits resolve. */
  close(): Promise<void>
}

// The conditions that decide how long a store keeps a call.

/** Returns true for a call with a listen that streams. It is kept, although its audio writes nothing to the store. */
export function streams({ listens }: StoredCall): boolean {
  return listens.some(({ state }) => state === 'streaming')
}

/** Returns true for a call that has not ended and has a listen whose socket may still come. */
export function mayStillListen({ endedAt, listens }: StoredCall): boolean {
  return endedAt === undefined && listens.some(({ state }) => state === 'expected')
}

/** Compares calls for a sort, the newest first. */
export function newestFirst(a: StoredCall, b: StoredCall): number {
  return a.createdAt < b.createdAt ? 1 : -1
}
