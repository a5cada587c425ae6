import type { StoredCall } from '../model/schema.js'

// What a store goes by when it decides for how long it keeps a call.

/** True for a call with a listen that streams: audio is no event of its call, and yet the call lives. */
export function streams({ listens }: StoredCall): boolean {
  return listens.some(({ state }) => state === 'streaming')
}

/** True for a call that has not ended and has a listen whose socket may still come. */
export function mayStillListen({ endedAt, listens }: StoredCall): boolean {
  return endedAt === undefined && listens.some(({ state }) => state === 'expected')
}

/** Orders calls, the newest first. */
export function newestFirst(a: StoredCall, b: StoredCall): number {
  return a.createdAt < b.createdAt ? 1 : -1
}
