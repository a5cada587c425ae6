import type { CallPatch, CallStore, ListenPatch, WritePart, Written } from '../../lib/store/index.js'
import { claimPart, handOverPart, losePart, neverCamePart } from '../../lib/model/listenLife.js'
import type { StoredListen } from '../../lib/model/schema.js'

type Fields = Omit<ListenPatch, 'id'>

/**
 * Methods that write to a store as the plugin does when something happens to a call or listen, with the same
 * conditions.
 */
export interface StoreVerbs {
  update(callSid: string, patch: CallPatch): Promise<Written>
  end(callSid: string, patch: CallPatch): Promise<Written & { first: boolean }>
  /** also writes a listen that the store does not know */
  claim(callSid: string, listenId: string): Promise<Written & { claimed: boolean }>
  reopen(callSid: string, listenId: string, fields: Fields): Promise<Written & { reopened: boolean }>
  conclude(listen: StoredListen, fields: Fields): Promise<Written & { concluded: boolean }>
  lose(callSid: string, listenId: string, instance: string): Promise<Written & { lost: boolean }>
}

export type StoreWithVerbs = CallStore & StoreVerbs

/** Returns the store with these methods added. `instance`: the name with which the store was started. */
export function withVerbs(store: CallStore, instance: string): StoreWithVerbs {
  return {
    shared: store.shared,
    start: (context) => store.start(context),
    get: (callSid) => store.get(callSid),
    list: () => store.list(),
    write: (callSid, write) => store.write(callSid, write),
    waitFor: (...args) => store.waitFor(...args),
    tell: (message) => store.tell(message),
    health: () => store.health(),
    close: () => store.close(),
    update: (callSid, patch) => store.write(callSid, [{ patch, wakes: wakesOf(patch) }]),
    async end(callSid, { call, data, listens }) {
      const patch = { call: { ...call, endedAt: new Date().toISOString() } }
      const written = await store.write(callSid, [
        { guards: [{ field: 'endedAt', is: null }], patch, final: true },
        ...(data || listens ? [{ patch: { data, listens } }] : [])
      ])
      return { ...written, first: written.applied[0] === true }
    },
    async claim(callSid, listenId) {
      const written = await store.write(callSid, [claimPart(listenId, instance, true)])
      return { ...written, claimed: written.applied[0] === true }
    },
    async reopen(callSid, listenId, fields) {
      const written = await store.write(callSid, [handOverPart(listenId, fields)])
      return { ...written, reopened: written.applied[0] === true }
    },
    async conclude(listen, fields) {
      const written = await store.write(listen.callSid, [withFields(neverCamePart(listen), fields)])
      return { ...written, concluded: written.applied[0] === true }
    },
    async lose(callSid, listenId, gone) {
      const written = await store.write(callSid, [losePart(listenId, gone)])
      return { ...written, lost: written.applied[0] === true }
    }
  }
}

function withFields(part: WritePart, fields: Fields): WritePart {
  const listens = part.patch.listens?.map((listen) => ({ ...listen, ...fields }))
  return { ...part, patch: { ...part.patch, listens } }
}

function wakesOf({ listens = [] }: CallPatch): string[] {
  return listens.filter(({ state, saved }) => state === 'ended' || saved !== undefined).map(({ id }) => id)
}
