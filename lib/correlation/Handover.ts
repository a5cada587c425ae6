import { setTimeout as delay } from 'node:timers/promises'
import type { Credentials } from '../verbs/index.js'
import { isFinal } from '../model/callFields.js'
import { hookOf, verbsToGoOn } from './application.js'
import type { CallStore } from '../store/CallStore.js'
import type { Correlated } from './Correlator.js'
import type { HookReport, Hooks } from './Hooks.js'
import { callSidOf } from '../model/listenId.js'
import { isOffered, listenIn } from '../model/patch.js'
import type { Call, Listen, ListenSegment } from '../model/schema.js'
import { withSegment } from '../model/segments.js'

/** Answers in vain: each may lead to an instance that is going, too. */
const MAX_IN_VAIN = 8
/** ms, for each of them but the first, for the load balancer to notice */
const DELAY = 50
/** ms between two looks for a hook that another instance may have had */
const HOOK_LOOK = 100

export interface HandoverDeps {
  store: CallStore
  hooks: Hooks
  auth: Credentials | undefined
  /** whole paths of the application's actionHooks */
  hookPaths: ReadonlySet<string>
}

/**
 * Takes listens from an instance that is going to the others: their socket is closed, so that jambonz calls their
 * actionHook, and that is answered with the same listen once more. jambonz opens its socket anew, and the load
 * balancer leads it to an instance that stays.
 */
export class Handover {
  readonly #deps: HandoverDeps

  constructor(deps: HandoverDeps) {
    this.#deps = deps
  }

  /**
   * Only a listen whose hook comes to us and whose reply counts: not one nested in `dial` (jambonz ignores the
   * reply) or `config` (the reply replaces what the caller hears; feature-server lib/tasks/listen.js).
   */
  possible(call: Call, listen: Listen): boolean {
    const hook = hookOf(call, listen.id)
    return (
      hook !== undefined &&
      this.#isOurs(hook) &&
      listen.nested === undefined &&
      verbsToGoOn(call, listen, undefined) !== undefined
    )
  }

  #isOurs(hook: string): boolean {
    return hook.startsWith('/') && this.#deps.hookPaths.has(hook.replace(/[?#].*$/, ''))
  }

  /** The listen's socket has closed here: another may take the next one. undefined when the listen has ended in the meantime. */
  async give(
    listen: Listen,
    segment: ListenSegment,
    fields: Partial<Listen>
  ): Promise<Correlated | undefined> {
    const { reopened, call } = await this.#deps.store.reopen(listen.callSid, listen.id, {
      ...fields,
      ...withSegment(listen, segment)
    })
    return reopened ? { call, listen: listenIn(call, listen.id) ?? listen } : undefined
  }

  /** An instance that is going has refused the listen's socket: jambonz' hook says as much, and is answered with it again. */
  async refuse(listenId: string): Promise<void> {
    const callSid = callSidOf(listenId)
    if (callSid !== undefined) {
      await this.#deps.store.update(callSid, { listens: [{ id: listenId, refused: true }] })
    }
  }

  /**
   * What a hook is answered with when its listen goes on. undefined when it is over: then also one whose call has ended,
   * whose time is up, or whose next socket nobody took.
   */
  async goOn(
    { call, listen }: Correlated,
    report: HookReport
  ): Promise<(Correlated & { verbs: object[] }) | undefined> {
    const { hooks, auth } = this.#deps
    if (!isOffered(listen) || isFinal(report.call?.fields.callStatus)) return undefined
    const offers = (listen.offers ?? 0) + 1
    const inVain = offers - (listen.segments?.length ?? 0)
    const verbs = inVain > MAX_IN_VAIN ? undefined : verbsToGoOn(call, listen, auth)
    if (verbs === undefined) return undefined
    const offered = await hooks.hear({ call, listen }, report, { offers, refused: false })
    await delay(DELAY * Math.max(0, inVain - 1))
    return { ...offered, verbs }
  }

  /** Resolves when a hook of the listen has come since, to whichever instance, or after `ms`; at once where none comes. */
  async hooked(asked: Call, { callSid, id, nested, hookedAt }: Listen, ms: number): Promise<void> {
    const hook = hookOf(asked, id)
    // jambonz takes no hook for the listen of a `config`.
    if (nested === 'config' || (hook !== undefined && !this.#isOurs(hook))) return
    for (const end = Date.now() + ms; Date.now() < end; await delay(HOOK_LOOK)) {
      const call = await this.#deps.store.get(callSid)
      if (call === undefined || listenIn(call, id)?.hookedAt !== hookedAt) return
    }
  }
}
