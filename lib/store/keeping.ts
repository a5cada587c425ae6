import type { StoredCall } from '../model/schema.js'

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
