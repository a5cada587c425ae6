import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.js'
import { reasonOf } from '../errors.js'
import { Requestor, type Hook } from '../http/requestor.js'
import type { ResolvedOptions } from '../options.js'
import type { RequestRecord } from '../types.js'
import type { CallInfo, CallStatus } from './callInfo.js'

interface PostOfficeOptions {
  options: ResolvedOptions
  clock: Clock
  info: CallInfo
  record: (request: RequestRecord) => void
  /** Takes work nobody waits for. */
  track: (work: Promise<unknown>) => void
}

/** The call's http side: one requestor for webhooks and hooks, one for status events, as jambonz keeps them. */
export class PostOffice {
  /** Sent with every request. */
  readonly b3: string
  requestor: Requestor
  readonly #options: PostOfficeOptions
  readonly #requestors: Requestor[] = []
  #notifier: Requestor
  #statusHook: Hook | undefined

  constructor(options: PostOfficeOptions) {
    const { url, statusHook } = options.options
    this.#options = options
    this.b3 = `${options.info.traceId}-${randomBytes(8).toString('hex')}-1`
    this.#statusHook = statusHook
    this.requestor = this.#newRequestor(url)
    this.#notifier = this.#newRequestor(statusHook ?? url)
  }

  /** Posts an actionHook or the like; raises when jambonz would. */
  async hook(hook: Hook, params: object): Promise<unknown> {
    const { duplicateHook, hookBeforeCloseMs } = this.#options.options.faults
    // the application may well answer only once the socket is closed
    return await this.requestor.request('hook', hook, params, {
      times: duplicateHook === true ? 2 : 1,
      holdsClock: hookBeforeCloseMs === undefined
    })
  }

  /** A status event; nobody waits for its answer. */
  notify(info: CallInfo, status: CallStatus, sipStatus: number, sipReason: string): void {
    Object.assign(info, { callStatus: status, sipStatus, sipReason })
    if (this.#statusHook !== undefined) {
      this.#options.track(this.#notifier.request('status', this.#statusHook, info.toJSON()))
    }
  }

  /** What jambonz tells the status hook when the answer to a gather's actionHook was no application. */
  complain(error: unknown): void {
    if (this.#statusHook === undefined) return
    const { info, track } = this.#options
    track(
      this.#notifier.request('status', this.#statusHook, {
        ...info.toJSON(),
        error: 'invalid actionHook response',
        reason: reasonOf(error)
      })
    )
  }

  /** An absolute redirect: relative hooks now go to another host, without the credentials. */
  moveTo(url: string): void {
    if (new URL(url).origin === this.requestor.baseUrl) return
    this.requestor = this.#keep(this.requestor.movedTo(url))
  }

  setStatusHook(hook: Hook): void {
    this.#statusHook = hook
    const url = typeof hook === 'string' ? hook : hook.url
    if (/^https?:\/\//.test(url)) this.#notifier = this.#keep(this.#notifier.movedTo(url))
  }

  close(): void {
    for (const requestor of this.#requestors) requestor.close()
  }

  // one that is left behind may still have requests under way: all are closed together
  #keep(requestor: Requestor): Requestor {
    this.#requestors.push(requestor)
    return requestor
  }

  #newRequestor(url: string): Requestor {
    const {
      options: { network, credentials, secret, httpTimeoutMs },
      clock,
      record
    } = this.#options
    return this.#keep(
      new Requestor({
        network,
        clock,
        url,
        credentials,
        secret,
        timeoutMs: httpTimeoutMs,
        headers: { b3: this.b3 },
        record
      })
    )
  }
}
