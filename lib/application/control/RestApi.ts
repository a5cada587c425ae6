import { setTimeout as delay } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import { checkOptions, didYouMean, similarName } from '../../model/checkOptions.js'
import { ERR_API, ERR_API_REFUSED, ERR_OPTIONS } from '../../model/errors.js'
import { isObject, isError, thrownMessage } from '../../model/json.js'

/** The option `api`: address and credentials of jambonz' REST api. */
export interface ApiOptions {
  /** such as `https://jambonz.example.com/api`; `/v1/Accounts/…` is appended */
  readonly baseUrl: string
  readonly accountSid: string
  /** token of the account; logs and errors never contain it */
  readonly token: string
  /** ms that a request may take. Default: 10,000 */
  readonly timeout?: number | undefined
}

/** Body of `POST …/Calls`: see jambonz' documentation. Other properties are sent unchanged. */
export interface CreateCall {
  from: string
  /** `{ type: 'phone', number }`, `{ type: 'user', name }`, `{ type: 'sip', sipUri }`, … */
  to: Readonly<Record<string, unknown>>
  call_hook?: string | Readonly<Record<string, unknown>> | undefined
  call_status_hook?: string | Readonly<Record<string, unknown>> | undefined
  application_sid?: string | undefined
  callerName?: string | undefined
  fromHost?: string | undefined
  answerOnBridge?: boolean | undefined
  /** seconds of ringing */
  timeout?: number | undefined
  /** seconds after which jambonz ends the call */
  timeLimit?: number | undefined
  /** SIP headers of the INVITE */
  headers?: Readonly<Record<string, unknown>> | null | undefined
  /** data that jambonz sends with each request of the call, as `customerData` */
  tag?: Readonly<Record<string, unknown>> | null | undefined
  /** detection of an answering machine */
  amd?: Readonly<Record<string, unknown>> | null | undefined
  app_json?: string | undefined
  [property: string]: unknown
  // Names that do not exist, so that a compiler reports them
  callHook?: 'jambonz calls it call_hook'
  callStatusHook?: 'jambonz calls it call_status_hook'
  statusHook?: 'jambonz calls it call_status_hook'
  applicationSid?: 'jambonz calls it application_sid'
}

const Hook = Type.Union([Type.String({ minLength: 1 }), Type.Object({ url: Type.String({ minLength: 1 }) })])
/** feature-server lib/http-routes/schemas/create-call.js */
const CreateCallSchema = Type.Object({
  from: Type.String({ minLength: 1, maxLength: 256 }),
  to: Type.Object({ type: Type.Union(['phone', 'user', 'sip', 'teams'].map((type) => Type.Literal(type))) }),
  call_hook: Type.Optional(Hook),
  call_status_hook: Type.Optional(Hook),
  application_sid: Type.Optional(Type.String({ minLength: 1 })),
  callerName: Type.Optional(Type.String()),
  fromHost: Type.Optional(Type.String()),
  answerOnBridge: Type.Optional(Type.Boolean()),
  timeout: Type.Optional(Type.Integer({ description: 'seconds' })),
  timeLimit: Type.Optional(Type.Integer({ description: 'seconds' })),
  headers: Type.Optional(Type.Object({})),
  tag: Type.Optional(Type.Object({})),
  amd: Type.Optional(Type.Object({})),
  app_json: Type.Optional(Type.String())
})
/** The property of `to` that has the address, by `to.type`. */
const ADDRESSES: Readonly<Record<string, string>> = {
  phone: 'number',
  teams: 'number',
  user: 'name',
  sip: 'sipUri'
}

/**
 * Throws FST_JAMBONZ_OPTIONS for a body of POST …/Calls that jambonz would refuse, or whose misspelled property it would
 * ignore. Properties that the plugin does not know are allowed.
 */
export function checkCall(call: CreateCall): void {
  const place = 'calls.create()'
  const known = Object.keys(CreateCallSchema.properties)
  for (const name of Object.keys(call ?? {})) {
    if (!known.includes(name) && similarName(name, known) !== undefined) {
      throw new ERR_OPTIONS(`${place}.${name}: there is no such property${didYouMean(name, known)}`)
    }
  }
  // jambonz drops properties that are null.
  const given = Object.fromEntries(Object.entries(call ?? {}).filter(([, value]) => value !== null))
  checkOptions(CreateCallSchema, given, place)
  const address = ADDRESSES[String(call.to.type)]
  if (address !== undefined) {
    checkOptions(Type.Object({ [address]: Type.String({ minLength: 1 }) }), call.to, `${place}.to`)
  }
  if ((given.call_hook ?? given.application_sid ?? given.app_json) === undefined) {
    throw new ERR_OPTIONS(`${place}.call_hook: is missing: pass call_hook or application_sid`)
  }
}

/**
 * Returns the call with absolute hooks, since jambonz' REST api refuses a path (jambonz-api-server
 * lib/routes/api/accounts.js, validateCreateCall). `urlOf`: returns the public url of a path; undefined if the
 * application has no `publicUrl`, so that the path stays unchanged.
 */
export function withAbsoluteHooks(call: CreateCall, urlOf: (path: string) => string | undefined): CreateCall {
  const absolute = (url: unknown): unknown =>
    typeof url === 'string' && url.startsWith('/') ? (urlOf(url) ?? url) : url
  const placed: { [property: string]: unknown } = { ...call }
  for (const name of ['call_hook', 'call_status_hook'] as const) {
    const hook = placed[name]
    if (hook === undefined) continue
    placed[name] = isObject(hook) ? { ...hook, url: absolute(hook.url) } : absolute(hook)
  }
  return placed as CreateCall
}

/** Returns the address that a call is placed to. */
export function addressOf({ to }: CreateCall): string | undefined {
  const address = to[ADDRESSES[String(to.type)] ?? '']
  return typeof address === 'string' ? address : undefined
}

const MAX_SHOWN = 300
/** maximum bytes of an answer to read; an answer of jambonz has a few hundred */
const MAX_ANSWER = 65_536
const CONTROL_CHARACTERS = /[\p{Cc}\s]+/gu
const NOT_FOUND = 404
/** ms before the repeat of a request that never reached jambonz */
const RETRY_AFTER = 250
/** Error codes of requests that cannot have reached jambonz. */
const NEVER_SENT: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT'
])

/** A client of jambonz' REST api for calls. */
export class RestApi {
  readonly #calls: string
  readonly #options: Required<ApiOptions>

  constructor(options: Required<ApiOptions>) {
    this.#options = options
    const base = options.baseUrl.replace(/\/+$/, '').replace(/\/v1$/, '')
    this.#calls = `${base}/v1/Accounts/${encodeURIComponent(options.accountSid)}/Calls`
  }

  /**
   * Changes a live call: `call_hook`, `call_status`, `mute_status`, `whisper`, … Resolves to false if jambonz has no
   * such call.
   */
  async updateCall(callSid: string, change: Readonly<Record<string, unknown>>): Promise<boolean> {
    // fetch would resolve `.` and `..` as steps of the path, and so ask for something else.
    if (callSid === '.' || callSid === '..') return false
    const response = await this.#request('PUT', `/${encodeURIComponent(callSid)}`, change)
    const isKnown = response.status !== NOT_FOUND
    if (isKnown) await this.#check('PUT', response)
    await response.body?.cancel()
    return isKnown
  }

  /** Places a call. Resolves to its callSid. */
  async createCall(call: CreateCall): Promise<string> {
    const response = await this.#request('POST', '', call)
    await this.#check('POST', response)
    const text = await this.#textOf('POST', response)
    const sid = sidIn(text)
    if (sid === undefined) {
      const shown = `the call may have been placed, but the answer names no sid: ${this.#shown(text)}`
      throw new ERR_API_REFUSED('POST', response.status, shown)
    }
    return sid
  }

  /**
   * Sends a request. If the request cannot have reached jambonz, sends it once more. No other request is sent
   * again, since a call must not be placed twice.
   */
  async #request(method: 'PUT' | 'POST', path: string, body: object): Promise<Response> {
    try {
      return await this.#fetch(method, path, body)
    } catch (err) {
      if (!NEVER_SENT.has(causeOf(err))) throw this.#failed(method, err)
    }
    await delay(RETRY_AFTER)
    try {
      return await this.#fetch(method, path, body)
    } catch (err) {
      throw this.#failed(method, err)
    }
  }

  #fetch(method: string, path: string, body: object): Promise<Response> {
    const { token, timeout } = this.#options
    return fetch(this.#calls + path, {
      method,
      headers: { 'authorization': `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'error',
      signal: AbortSignal.timeout(timeout)
    })
  }

  async #check(method: string, response: Response): Promise<void> {
    if (response.ok) return
    throw new ERR_API_REFUSED(method, response.status, this.#shown(await this.#textOf(method, response)))
  }

  /** Resolves to the beginning of an answer. Rejects if its body does not come in time. */
  async #textOf(method: string, { body }: Response): Promise<string> {
    const parts: Uint8Array[] = []
    let bytes = 0
    try {
      for await (const part of body ?? []) {
        parts.push(part)
        bytes += part.length
        if (bytes > MAX_ANSWER) break
      }
    } catch (err) {
      throw this.#failed(method, err)
    }
    return Buffer.concat(parts).toString()
  }

  /** Returns an answer as an error shows it: one line, without the token. */
  #shown(answer: string): string {
    return this.#withoutToken(answer).replace(CONTROL_CHARACTERS, ' ').slice(0, MAX_SHOWN)
  }

  #failed(method: string, err: unknown): Error {
    const { cause } = err as { cause?: unknown }
    const why = causeOf(err) ?? (isError(cause) ? cause.message : undefined)
    const message = thrownMessage(err)
    return new ERR_API(method, this.#withoutToken(why === undefined ? message : `${message}: ${String(why)}`))
  }

  #withoutToken(text: string): string {
    return text.replaceAll(this.#options.token, '…')
  }
}

/** Returns the sid in the answer to POST …/Calls; undefined if the answer has no sid. */
function sidIn(answer: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(answer)
    const sid = isObject(parsed) ? parsed.sid : undefined
    return typeof sid === 'string' ? sid : undefined
  } catch {
    return undefined
  }
}

function causeOf(err: unknown): unknown {
  const { cause } = err as { cause?: { code?: unknown } }
  return cause?.code
}
