import type { FastifyBaseLogger } from 'fastify'
import type { CallWrite } from '../model/callWrite.js'
import type { StoredCall, StoredListen } from '../model/schema.js'

export interface Written {
  /** true if this write created the call. Of all writes on all instances, only one creates a call. */
  created: boolean
  /** for each part of the write: true if all guards of the part held, so that the part was written */
  applied: readonly boolean[]
  /**
   * false if the store is away. Only this instance then has the write, and sends it when the store returns.
   */
  kept: boolean
  /** the call after the write; an empty call if the call is unknown */
  call: StoredCall
}

/**
 * Returns true if the listen has reached the awaited state. `listen` is undefined if the call has no listen
 * of that id.
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
   * ms that a call is kept after its last event while the call has not ended and the socket of one of its
   * listens may still open. Counts only if it is longer than `callTtl`. Default: `callTtl`
   */
  expectedTtl?: number
  /** name of this instance, for `Listen.instance` */
  instance: string
  logger: FastifyBaseLogger
  /**
   * Ends an open listen whose `instance` or `watcher` died. Each of the other instances calls this function,
   * and repeats the call until the promise resolves.
   */
  lost?: (listen: LostListen) => Promise<void>
  /** Called with the name of an instance that died, on each of the other instances, before `lost`, maybe repeatedly. */
  died?: (instance: string) => void
  /** Called with each message that another instance sent with `tell()`. */
  told?: (message: unknown) => void
}

export interface StoreHealth {
  /** false if the store does not work fully; `problem` says why */
  available: boolean
  /** number of calls with writes that the store does not have yet */
  pending: number
  /** number of calls whose pending writes this instance has dropped since its start */
  dropped: number
  /** the problem, in words for an operator; undefined while the store works fully */
  problem?: string
}

/**
 * The store of the calls: `memoryStore` in the memory of one process, or `redisStore` in a Redis that several
 * processes share. A store reads calls, writes them and waits for their changes. lib/correlation decides what
 * an event changes in a call. The returned calls are deeply frozen snapshots. Every promise settles in
 * bounded time. No promise rejects because a server is away.
 */
export interface CallStore {
  /** true if several instances share the calls */
  readonly shared: boolean
  /** Starts the store. Called once, before all other methods. */
  start(context: StoreContext): Promise<void>
  /**
   * Resolves to the call, with its listens in the order in which they were added. Resolves to undefined if
   * the call is unknown or has expired.
   */
  get(callSid: string): Promise<StoredCall | undefined>
  /** Resolves to all calls, newest first. */
  list(): Promise<StoredCall[]>
  /**
   * Writes, in one atomic step, each part whose guards all hold. If the call is unknown and a part is
   * written, the call is created. The store keeps a call as long as one of its listens streams.
   */
  write(callSid: string, write: CallWrite): Promise<Written>
  /**
   * Resolves to the call when `reached` returns true for the listen, or after `timeoutMs`. Resolves at once
   * if the call is unknown. `reached` is called at once, and again after each write, on any instance, whose
   * `wakes` name the listen.
   */
  waitFor(
    callSid: string,
    listenId: string,
    reached: Reached,
    timeoutMs: number
  ): Promise<StoredCall | undefined>
  /**
   * Sends a message, as JSON, to the other instances that share the store. The message is lost if the store
   * is away.
   */
  tell(message: unknown): void
  /** Returns the state of the store. */
  health(): StoreHealth
  /** Closes the store. All waits resolve, and the functions of the context are not called any more. */
  close(): Promise<void>
}

// A store keeps a call longer if one of the next two functions returns true.

/**
 * Returns true if a listen of the call streams. The store keeps such a call, although audio writes nothing to
 * the store that would renew the call.
 */
export function streams({ listens }: StoredCall): boolean {
  return listens.some(({ state }) => state === 'streaming')
}

/** Returns true for a call that has not ended and has a listen whose socket may still come. */
export function mayStillListen({ endedAt, listens }: StoredCall): boolean {
  return endedAt === undefined && listens.some(({ state }) => state === 'expected')
}

/** Compares calls for a sort, the newest first. Calls of the same millisecond are sorted by callSid, the highest first. */
export function newestFirst(a: StoredCall, b: StoredCall): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? 1 : -1
  return a.callSid < b.callSid ? 1 : -1
}
