import { listenIn } from '../model/callWrite.js'
import type { StoredListen } from '../model/schema.js'
import type { Correlation } from './Correlation.js'

/** ms that a listen waits for a store that is away. After that it is left as it is. */
const RETURN_WAIT = 600_000

/**
 * Ends a listen whose next socket has not come to any instance within `ms`, and that no later hook has changed. While
 * the store is away, another instance may hold the socket: the time begins when the store is back. Returns at once.
 */
export function endUnlessHeld(
  correlation: Correlation,
  { callSid, id, offers }: StoredListen,
  ms: number
): void {
  const { store, deps } = correlation
  const isSettled = (now?: StoredListen): boolean =>
    now !== undefined && (now.state !== 'expected' || now.instance !== undefined || now.offers !== offers)
  const watch = async (): Promise<void> => {
    for (;;) {
      await store.waitFor(callSid, id, () => store.health().available, RETURN_WAIT)
      // The store is still away, or it is closed.
      if (!store.health().available) return
      const listen = listenIn(await store.waitFor(callSid, id, isSettled, ms), id)
      if (!store.health().available) continue
      if (listen !== undefined && !isSettled(listen)) await correlation.neverCame(listen)
      return
    }
  }
  watch().catch((err: unknown) => {
    deps.logger.error({ err, callSid, listenId: id }, 'the end of a listen could not be written')
  })
}
