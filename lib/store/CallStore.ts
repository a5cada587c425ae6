import type { FastifyBaseLogger } from 'fastify'
import type { CallPatch } from '../model/patch.js'
import type { Call, Listen } from '../model/schema.js'

export interface Updated {
  /** this write made the call known; true once per call, whatever the number of instances */
  created: boolean
  call: Call
}

export interface Ended extends Updated {
  first: boolean
}

export interface Claim {
  /** false: another socket has had this listen, or it has ended */
  claimed: boolean
  call: Call
}

export interface Reopened {
  reopened: boolean
  call: Call
}

export interface Concluded {
  concluded: boolean
  call: Call
}

/** Whether the call's listen, undefined when the call has none of that id, is what is waited for. */
export type Reached = (listen: Listen | undefined) => boolean

export interface StoreContext {
  /** ms a call is kept after its last event; one with a listen that streams is kept until that ends */
  callTtl: number
  /** name of this instance, as it stands in `Listen.instance` */
  instance: string
  logger: FastifyBaseLogger
  /** Told of each listen that the store found lost with the instance that held it: once, on one of the others. */
  lost?: (call: Call, listenId: string) => void
}

export interface StoreHealth {
  /** false: the calls are served from what this instance knows, and what it writes is kept for later */
  available: boolean
  /** calls with something that is yet to be written */
  pending: number
  /** calls whose waiting writes had to be given up, since the start */
  dropped: number
}

/**
 * Where the calls live: the memory of one process (`memoryStore`), or a Redis that several share (`redisStore`).
 * Calls handed out are snapshots, deeply frozen: changes go through `update()`.
 * Every promise settles in bounded time, and none rejects because a server is away.
 */
export interface CallStore {
  /** Called once, before anything else. */
  start(context: StoreContext): Promise<void>
  /** The call with all its listens, in the order they were added; undefined when unknown or expired. */
  get(callSid: string): Promise<Call | undefined>
  /** The calls the store knows, newest first. */
  list(): Promise<Call[]>
  /** Creates the call when it is unknown, writes the patch in one step, and returns the call as it is then. */
  update(callSid: string, patch: CallPatch): Promise<Updated>
  /**
   * Writes the patch and `endedAt`; where the call has ended before, only its data and listens. Of all concurrent calls
   * one gets `first: true`. What it says of the call is the last word: no `update()` changes these fields, not even one
   * that was made before.
   */
  end(callSid: string, patch: CallPatch): Promise<Ended>
  /**
   * Gives the listen to this instance's socket, once ever: of all concurrent claims one wins. An unknown listen is
   * created (its webhook may have been answered while the store was away).
   */
  claim(callSid: string, listenId: string): Promise<Claim>
  /**
   * Writes the fields, and makes the listen claimable once more: `state: 'expected'`, no `instance`. For the instance
   * that holds it, when its socket is handed over to another. Not done, and nothing written, when it has ended.
   */
  reopen(callSid: string, listenId: string, fields: Partial<Omit<Listen, 'id'>>): Promise<Reopened>
  /**
   * Ends a listen that has no socket: writes the fields and `state: 'ended'`, once, whatever the number of instances.
   * Not done, and nothing written, when it streams, has ended, or is held by another instance than `listen.instance` says.
   */
  conclude(listen: Listen, fields: Partial<Omit<Listen, 'id'>>): Promise<Concluded>
  /**
   * Resolves with the call as soon as its listen is what is waited for, or as it stands after `timeoutMs`; at once
   * when the call is unknown. `reached` is asked at once, and whenever on any instance the listen has ended, has been
   * reopened, or its `saved` has been written.
   */
  waitFor(callSid: string, listenId: string, reached: Reached, timeoutMs: number): Promise<Call | undefined>
  /** How well the store can be reached. A store without it always can. */
  health?(): StoreHealth
  /** Nothing is called after it. */
  close(): Promise<void>
}
