import type { CallStore } from '../store/CallStore.js'
import { correlated, type CallFields, type Correlated, type Correlator } from './Correlator.js'
import { callSidOf } from '../model/listenId.js'
import { isOffered, listenIn, newListen } from '../model/patch.js'
import type { Listen } from '../model/schema.js'

/** ms an actionHook waits for the end of its listen; then `listen.state` says how far it got. */
const HOOK_WAIT = 5_000

export interface HooksDeps {
  store: CallStore
  correlator: Correlator
  /** reads at once what a live stream of this instance has in its socket */
  readToEnd: (listenId: string) => void
}

/** What an actionHook says. */
export interface HookReport {
  digits?: string
  /** whole seconds; absent when the socket could not be opened, or with a GET hook, which says nothing */
  duration?: number
  /** of the call it is about; undefined with a GET hook */
  call?: { callSid: string; fields: CallFields }
}

/** The actionHooks of listens: what they wait for, and what they have to say. */
export class Hooks {
  readonly #deps: HooksDeps

  constructor(deps: HooksDeps) {
    this.#deps = deps
  }

  /**
   * The listen an actionHook speaks of, as soon as nothing more comes of its socket: its audio is complete, on whichever
   * instance, or another one is to open. Waits for HOOK_WAIT at most. undefined when no such listen is known.
   */
  async settled(listenId: string, { duration, call: about }: HookReport): Promise<Correlated | undefined> {
    const { store, correlator, readToEnd } = this.#deps
    const callSid = callSidOf(listenId)
    if (callSid === undefined) return undefined
    readToEnd(listenId)
    // While the store is away its instance may be the one that knows the listen; it tells as soon as it can.
    let isSure = this.#available
    const known = await store.waitFor(
      callSid,
      listenId,
      (listen) => {
        isSure &&= this.#available
        if (listen === undefined) return isSure
        const mayYetConnect = listen.instance !== undefined || duration !== undefined
        return listen.state === 'ended' || isOffered(listen) || !mayYetConnect
      },
      HOOK_WAIT
    )
    const listen = listenIn(known, listenId)
    if (known && listen) return { call: known, listen }
    if (isSure && this.#available) return undefined
    const call =
      known ?? (about?.callSid === callSid ? await correlator.arrive(callSid, about.fields) : undefined)
    return call && { call, listen: newListen(callSid, listenId) }
  }

  /** The hook's listen is over, and the hook's handler is to see it so. */
  async finish({ call, listen }: Correlated, report: HookReport): Promise<Correlated> {
    const said = this.#available || (report.call !== undefined && report.duration === undefined)
    if (listen.state === 'expected' && (said || isOffered(listen))) {
      await this.#deps.correlator.conclude(listen)
    }
    return await this.hear({ call, listen }, report)
  }

  /** Writes what a hook says, with whatever else there is to write of its listen. */
  async hear(
    { call, listen }: Correlated,
    report: HookReport,
    fields: Partial<Listen> = {}
  ): Promise<Correlated> {
    const { correlator } = this.#deps
    const said = { ...hookFields(listen, report), ...fields }
    if (report.call?.callSid !== listen.callSid) return await correlator.write(listen, said)
    // What its end has said of the call is the last word.
    const ofCall = call.endedAt === undefined ? report.call.fields : {}
    return correlated(
      await correlator.arrive(listen.callSid, ofCall, [{ ...said, id: listen.id }]),
      listen.id
    )
  }

  get #available(): boolean {
    return this.#deps.store.health?.().available ?? true
  }
}

function hookFields(listen: Listen, { digits, duration }: HookReport): Partial<Listen> {
  return {
    hookedAt: new Date().toISOString(),
    ...(digits !== undefined && { digits }),
    ...(duration !== undefined && { reportedDuration: duration }),
    ...(digits !== undefined && listen.endReason === 'closed' && { endReason: 'finishOnKey' as const })
  }
}
