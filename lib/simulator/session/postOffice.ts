import { randomBytes } from 'node:crypto'
import { HttpRequestor } from '../application/httpRequestor.js'
import {
  urlOf,
  type Credentials,
  type Hook,
  type RequestExtras,
  type Requestor,
  type RequestType,
  type SocketEvents
} from '../application/requestor.js'
import { WsRequestor } from '../application/wsRequestor.js'
import type { Clock } from '../clock.js'
import { reasonOf } from '../errors.js'
import type { ResolvedOptions } from '../options.js'
import type { CallInfo, CallStatus } from './callInfo.js'

interface PostOfficeOptions extends SocketEvents {
  options: ResolvedOptions
  clock: Clock
  info: CallInfo
  /** Notes a promise that only the end of the call awaits. */
  track: (work: Promise<unknown>) => void
  /** Called with an error that the feature server does not catch. */
  uncaught: (what: string) => void
}

const IS_HTTP = /^https?:\/\//
const IS_WS = /^wss?:\/\//
const IS_ABSOLUTE = /^(https?|wss?):\/\//

/** Sends the requests of a call: webhooks and hooks with one requestor, status events with another requestor. */
export class PostOffice {
  /** The `b3` header of every request. */
  readonly b3: string
  requestor: Requestor
  readonly #options: PostOfficeOptions
  readonly #requestors: Requestor[] = []
  #notifier: Requestor
  #statusHook: Hook | undefined

  constructor(options: PostOfficeOptions) {
    const { url, statusHook, credentials } = options.options
    this.#options = options
    this.b3 = `${options.info.traceId}-${randomBytes(8).toString('hex')}-1`
    this.#statusHook = statusHook
    this.requestor = this.#newRequestor(url, credentials)
    // Over an application websocket, status events use the same socket.
    this.#notifier =
      this.requestor.transport === 'websocket'
        ? this.requestor
        : this.#newRequestor(statusHook ?? url, credentials)
  }

  /** Calls an actionHook or another hook. Throws if jambonz would throw. */
  async hook(type: RequestType, hook: Hook, params: object): Promise<unknown> {
    const { duplicateHook, hookBeforeCloseMs } = this.#options.options.faults
    // With hookBeforeCloseMs the application may wait for the close of the audio socket before it answers.
    return await this.#ask(this.requestor, type, hook, params, {
      times: duplicateHook === true ? 2 : 1,
      holdsClock: hookBeforeCloseMs === undefined
    })
  }

  /** Sends a status event, and does not wait for the answer. */
  notify(info: CallInfo, status: CallStatus, sipStatus: number, sipReason: string): void {
    Object.assign(info, { callStatus: status, sipStatus, sipReason })
    this.#tellStatus(info.toJSON(), info !== this.#options.info)
  }

  /** Reports to the status hook, as jambonz does, that the answer to a gather's actionHook was invalid. */
  complain(error: unknown): void {
    const { info } = this.#options
    this.#tellStatus({ ...info.toJSON(), error: 'invalid actionHook response', reason: reasonOf(error) })
  }

  /**
   * Sends a verb:status or jambonz:error over a websocket, and does not wait. Over HTTP such an event is never sent.
   */
  event(type: 'verb:status' | 'jambonz:error', data: object): void {
    if (this.requestor.transport === 'http') return
    this.#options.track(this.requestor.request(type, '/status', data))
  }

  /**
   * Runs the verb redirect. An absolute url gets a requestor of its own, without credentials. The old requestor stays
   * open.
   */
  moveTo(hook: Hook): void {
    const url = urlOf(hook)
    if (!IS_ABSOLUTE.test(url)) return
    const { requestor } = this
    // #ask() handles a url with the other transport.
    if (requestor.transport === 'websocket') {
      this.requestor = this.#newRequestor(url, undefined)
    } else if (IS_HTTP.test(url) && new URL(url).origin !== requestor.baseUrl) {
      this.requestor = this.#newRequestor(url, undefined)
    }
  }

  setStatusHook(hook: Hook): void {
    this.#statusHook = hook
    const url = urlOf(hook)
    if (IS_ABSOLUTE.test(url)) this.#notifier = this.#newRequestor(url, undefined)
  }

  /** True if jambonz waits for commands at the end of the verbs. */
  get takesCommands(): boolean {
    return this.requestor instanceof WsRequestor && !this.requestor.finished
  }

  /** Closes the application's websocket with 1001, because its answer could not be used. */
  async reject(): Promise<void> {
    if (this.requestor instanceof WsRequestor) await this.requestor.reject()
  }

  /** Breaks the connection of the application's websocket. */
  drop(): void {
    if (this.requestor instanceof WsRequestor) this.requestor.drop()
  }

  /** Closes the connections at the end of a call. As in jambonz, the websockets of earlier redirects stay open. */
  async close(): Promise<void> {
    const closing = [this.requestor.close(), this.#notifier.close()]
    for (const requestor of this.#requestors) {
      if (requestor === this.requestor || requestor === this.#notifier) continue
      if (requestor instanceof WsRequestor) requestor.abandon()
      else closing.push(requestor.close())
    }
    await Promise.all(closing)
  }

  // jambonz does not catch the error of an event of a dialled leg (feature-server lib/utils/place-outdial.js).
  #tellStatus(params: object, isOfDialled = false): void {
    if (this.#statusHook === undefined) return
    const { track, uncaught } = this.#options
    const told = this.#ask(this.#notifier, 'call:status', this.#statusHook, params)
    track(
      told.catch((error: unknown) => {
        if (isOfDialled) uncaught(`a status event of a dialled leg failed: ${reasonOf(error)}`)
        throw error
      })
    )
  }

  // An absolute url with the other transport gets a requestor of its own. After a redirect, the call uses that
  // requestor.
  async #ask(
    requestor: Requestor,
    type: RequestType,
    hook: Hook,
    params: object,
    extra?: RequestExtras
  ): Promise<unknown> {
    const url = urlOf(hook)
    const crosses = requestor.transport === 'websocket' ? IS_HTTP.test(url) : IS_WS.test(url)
    if (!crosses) return await requestor.request(type, hook, params, extra)
    const other = this.#newRequestor(url, credentialsOf(hook))
    if (type === 'session:redirect') {
      this.#options.track(Promise.resolve(requestor.close()))
      this.requestor = other
    }
    return await other.request(other.transport === 'websocket' ? 'session:new' : type, hook, params, extra)
  }

  // Earlier requestors may still wait for answers, so close() closes all requestors.
  #newRequestor(url: string, credentials: Credentials | undefined): Requestor {
    const { network, secret, httpTimeoutMs, ackTimeoutMs } = this.#options.options
    const { clock, record } = this.#options
    const requestor = IS_WS.test(url)
      ? new WsRequestor({ ...this.#options, network, url, credentials, ackTimeoutMs, b3: this.b3 })
      : new HttpRequestor({
          network,
          clock,
          url,
          credentials,
          secret,
          timeoutMs: httpTimeoutMs,
          headers: { b3: this.b3 },
          record
        })
    this.#requestors.push(requestor)
    return requestor
  }
}

function credentialsOf(hook: Hook): Credentials | undefined {
  if (typeof hook === 'string' || hook.username === undefined || hook.password === undefined) return undefined
  return { username: hook.username, password: hook.password }
}
