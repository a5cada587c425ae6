import type { FastifyBaseLogger } from 'fastify'
import type { CallWrite } from '../model/callWrite.js'
import type { StoredCall, StoredListen } from '../model/schema.js'

export interface Written {
  /** this write created the call; true once per call, for all instances together */
  created: boolean
  /** for each part of the write: true if its guards held, and it was written */
  applied: readonly boolean[]
  /** false: the store is away, only this instance knows of the write, and the store is told when it returns */
  kept: boolean
  /** the call after the write; an empty one if the call is unknown */
  call: StoredCall
}

/**
 * Returns true once the listen has reached the awaited state; `listen` is undefined if the call has none of that id.
 */
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
   * ms after its last event that a call is kept, if that is longer, while it has not ended and has a listen whose
   * socket may still open. Default: callTtl
   */
  expectedTtl?: number
  /** name of this instance, as it stands in `Listen.instance` */
  instance: string
  logger: FastifyBaseLogger
  /**
   * Called for each listen that has not ended and whose `instance` is gone: on all other instances, perhaps more than
   * once, until its promise resolves.
   */
  lost?: (listen: LostListen) => Promise<void>
  /** Takes a message that another instance sent with `tell()`. */
  told?: (message: unknown) => void
}

export interface StoreHealth {
  /** false: the store does not do all it should; see `problem` */
  available: boolean
  /** calls with writes that the store does not have yet */
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
   * Resolves to the call as soon as `reached` returns true for its listen, or after `timeoutMs`; at once if the call is
   * unknown. `reached` is called at once, and after each write, on any instance, that wakes the listen.
   */
  waitFor(
    callSid: string,
    listenId: string,
    reached: Reached,
    timeoutMs: number
  ): Promise<StoredCall | undefined>
  /**
   * Sends a message, JSON, to the other instances that share the store: once, and not at all while the store is away.
   */
  tell(message: unknown): void
  /** Returns the state of the store. */
  health(): StoreHealth
  /** Closes the store: it calls nothing afterwards. All waits resolve. */
  close(): Promise<void>
}

// The conditions by which a store decides how long it keeps a call.

/** Returns true for a call with a listen that streams: the call lives, though audio writes nothing to the store. */
export function streams({ listens }: StoredCall): boolean {
  return listens.some(({ state }) => state === 'streaming')
}

/** Returns true for a call that has not ended and has a listen whose socket may still come. */
export function mayStillListen({ endedAt, listens }: StoredCall): boolean {
  return endedAt === undefined && listens.some(({ state }) => state === 'expected')
}

/** Orders calls, the newest first. */
export function newestFirst(a: StoredCall, b: StoredCall): number {
  return a.createdAt < b.createdAt ? 1 : -1
}
