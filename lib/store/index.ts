// The entry point fastify-jambonz-listen/store. It exports the parts of a custom store, see docs/stores.md.

export { applyWrite, newCall } from '../model/callWrite.js'
export type {
  AppliedWrite,
  CallPatch,
  CallWrite,
  Guard,
  KeptCall,
  ListenPatch,
  WritePart
} from '../model/callWrite.js'
export type { StoredCall, StoredListen } from '../model/schema.js'
export type { CallStore, LostListen, Reached, StoreContext, StoreHealth, Written } from './CallStore.js'
export { mayStillListen, newestFirst, streams } from './CallStore.js'
export { Waiters, type Wait } from './Waiters.js'
