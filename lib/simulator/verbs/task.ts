import type { Hook, RequestType } from '../application/requestor.js'
import type { Session } from '../session/session.js'
import type { VerbRecord } from '../types.js'
import { parseApplication } from './application.js'

/**
 * `endpoint`: the verb needs audio, so jambonz answers the call; `answered`: it needs an answered call; `none`: no
 * condition.
 */
export type Precondition = 'endpoint' | 'answered' | 'none'

/** A running verb. A subclass runs the verb in `exec` and ends it early in `onKill`. */
export abstract class Task {
  readonly verb: string
  readonly data: Record<string, unknown>
  readonly record: VerbRecord
  protected readonly session: Session
  readonly precondition: Precondition = 'none'
  readonly #ending = new AbortController()

  constructor(session: Session, verb: string, data: Record<string, unknown>) {
    this.session = session
    this.verb = verb
    this.data = data
    this.record = { verb, data, startedAtMs: 0, endedAtMs: undefined }
  }

  /** Runs the verb. Resolves when the next verb may start. */
  abstract exec(): Promise<void>

  /** Ends the verb early. */
  kill(reason: 'replaced' | 'released' | 'done' = 'released'): void {
    if (this.killed) return
    this.onKill(reason)
    this.#ending.abort()
  }

  /** True while only the caller or the application can end the verb. The caller's patience counts during that time. */
  get openEnded(): boolean {
    return false
  }

  get killed(): boolean {
    return this.#ending.signal.aborted
  }

  /** The signal that aborts when the verb must end. */
  protected get ending(): AbortSignal {
    return this.#ending.signal
  }

  protected onKill(_reason: 'replaced' | 'released' | 'done'): void {}

  protected note(text: string): void {
    this.record.note = this.record.note === undefined ? text : `${this.record.note}; ${text}`
  }

  /**
   * Calls the verb's actionHook, if the verb has one. The verbs of the reply replace the application, unless
   * `replyCounts` is false.
   */
  protected async performAction(
    results: Record<string, unknown> = {},
    replyCounts = true,
    type: RequestType = 'verb:hook'
  ): Promise<void> {
    const hook = this.data.actionHook as Hook | undefined
    if (hook === undefined) return
    const { session } = this
    const params = {
      ...session.info.toJSON(),
      ...results,
      ...(typeof this.data.id === 'string' && { verb_id: this.data.id })
    }
    const reply = await session.post.hook(type, hook, params)
    if (!replyCounts || !Array.isArray(reply)) return
    const verbs = parseApplication(reply, session.options)
    if (verbs.length > 0) session.replaceApplication(verbs)
  }
}
