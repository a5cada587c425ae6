import type { CallStore } from '../../lib/store/index.js'

/** ms */
const SHORT = 20

/** Makes the waits of a store short, so that a test need not wait. Returns the store. */
export function hurry(store: CallStore): CallStore {
  const waitFor = store.waitFor.bind(store)
  store.waitFor = (callSid, listenId, reached, timeoutMs) =>
    waitFor(callSid, listenId, reached, Math.min(timeoutMs, SHORT))
  return store
}
