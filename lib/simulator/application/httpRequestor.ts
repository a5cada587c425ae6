import type { Agent } from 'node:http'
import { stringify } from 'node:querystring'
import type { Clock } from '../clock.js'
import { SIM_REQUEST } from '../errors.js'
import { targetOf, type Network } from '../network.js'
import type { RequestRecord } from '../types.js'
import { exchange, TimeoutError, type Incoming, type Outgoing } from './exchange.js'
import {
  kindOf,
  urlOf,
  type Credentials,
  type Hook,
  type RequestExtras,
  type Requestor,
  type RequestType
} from './requestor.js'
import { Backoff, RetryPolicy, type Failure } from './retries.js'
import { signatureHeader } from './signature.js'
import { snakeCaseKeys } from './snakeCase.js'

export interface HttpRequestorOptions {
  network: Network
  clock: Clock
  /** Absolute url of the application's webhook. Relative hooks and sockets are resolved against its origin. */
  url: string
  credentials: Credentials | undefined
  secret: string
  timeoutMs: number
  headers: Record<string, string>
  /** Notes each attempt; `failure`: the error of a failed one. */
  record: (request: RequestRecord, failure?: string) => void
}

/** The statuses of answers that jambonz reads (feature-server lib/utils/http-requestor.js). */
export const OK: readonly number[] = [200, 202, 204]
/** The most characters of an answer without verbs that the story keeps. */
const MAX_BODY = 2_000
const RESET_ON_REUSE = 'ECONNRESET'

interface Prepared {
  kind: RequestRecord['kind']
  /** kind, method and path, for errors */
  what: string
  outgoing: Outgoing
  payload: unknown
  agent: Agent
}

/** Posts webhooks, hooks and status events as jambonz does (feature-server lib/utils/http-requestor.js). */
export class HttpRequestor implements Requestor {
  readonly transport = 'http'
  readonly baseUrl: string
  readonly credentials: Credentials | undefined
  readonly #options: HttpRequestorOptions
  readonly #agents = new Map<string, Agent>()
  #closed = false

  constructor(options: HttpRequestorOptions) {
    this.#options = options
    this.baseUrl = new URL(options.url).origin
    this.credentials = options.credentials
  }

  /** Resolves to the JSON of the reply, or `''`. Throws FST_JAMBONZ_SIM_REQUEST if no attempt gets 200, 202 or 204. */
  async request(type: RequestType, hook: Hook, params: object, extra: RequestExtras = {}): Promise<unknown> {
    const kind = kindOf(type)
    const prepared = this.#prepare(kind, hook, params)
    const policy = new RetryPolicy(prepared.outgoing.url.hash)
    const backoff = new Backoff()
    const { clock } = this.#options
    const { what } = prepared
    const attempt = async (number: number) => {
      if (this.#closed) throw new SIM_REQUEST(`${what} not sent: the call was torn down`)
      const release = extra.holdsClock === false ? () => {} : clock.hold()
      return await this.#attempt(prepared, number).finally(release)
    }
    for (let repeat = 1; repeat < (extra.times ?? 1); repeat++) await attempt(1)
    for (let number = 1; ; number++) {
      const outcome = await attempt(number)
      if ('reply' in outcome) return outcome.reply
      if (!policy.allows(number, outcome.failure)) throw new SIM_REQUEST(outcome.text)
      await clock.wait(backoff.next())
    }
  }

  close(): void {
    this.#closed = true
    for (const agent of this.#agents.values()) agent.destroy()
  }

  #prepare(kind: RequestRecord['kind'], hook: Hook, params: object): Prepared {
    const given = urlOf(hook)
    const method = (typeof hook === 'string' ? 'POST' : (hook.method ?? 'POST')).toUpperCase()
    const relative = given.startsWith('/')
    const url = this.#resolve(given)
    const payload: unknown = JSON.parse(JSON.stringify(snakeCaseKeys(params)))
    const body = JSON.stringify(payload)
    const { credentials, secret, headers } = this.#options
    // jambonz sends a relative hook unchanged, with its fragment.
    const path = relative ? given : url.pathname + rewrittenQuery(url)
    return {
      kind,
      what: `${kind} ${method} ${path}`,
      payload: method === 'POST' ? payload : undefined,
      agent: this.#agent(url),
      outgoing: {
        url,
        method,
        path,
        body: method === 'POST' ? body : undefined,
        headers: {
          'host': url.host,
          'Jambonz-Signature': signatureHeader(body, secret),
          ...(credentials !== undefined && {
            Authorization: `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`
          }),
          ...headers,
          ...(method === 'POST' && {
            'Content-Type': 'application/json',
            'content-length': String(Buffer.byteLength(body))
          })
        }
      }
    }
  }

  #resolve(given: string): URL {
    try {
      return new URL(given.startsWith('/') ? this.baseUrl + given : given)
    } catch {
      throw new SIM_REQUEST(
        `hook '${given}': jambonz needs a path that begins with a slash, or an absolute http(s) url`
      )
    }
  }

  #agent(url: URL): Agent {
    const existing = this.#agents.get(url.origin)
    if (existing !== undefined) return existing
    const agent = this.#options.network.agent(targetOf(url))
    this.#agents.set(url.origin, agent)
    return agent
  }

  async #attempt(
    prepared: Prepared,
    attempt: number
  ): Promise<{ reply: unknown } | { failure: Failure; text: string }> {
    const { clock, timeoutMs, record } = this.#options
    const { outgoing, payload, kind, what } = prepared
    const begun = performance.now()
    const entry: RequestRecord = {
      kind,
      transport: 'http',
      method: outgoing.method,
      url: outgoing.url.href,
      headers: outgoing.headers,
      payload,
      status: undefined,
      reply: undefined,
      atMs: Math.round(clock.now()),
      latencyMs: 0,
      attempt
    }
    let failure: string | undefined
    try {
      const incoming = await this.#send(prepared, timeoutMs)
      entry.status = incoming.status
      entry.body = incoming.body.slice(0, MAX_BODY)
      if (!OK.includes(incoming.status)) {
        failure = `${what} answered ${incoming.status}`
        return { failure: { status: incoming.status }, text: failure }
      }
      entry.reply = parseReply(incoming)
      if (Array.isArray(entry.reply) || incoming.body === '') delete entry.body
      return { reply: entry.reply ?? '' }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      // The message of an error of TLS ends with a line break.
      entry.error = message === '' ? (code ?? 'failed') : message.trim()
      failure = `${what} failed: ${entry.error}`
      return { failure: { code, timedOut: error instanceof TimeoutError }, text: failure }
    } finally {
      entry.latencyMs = Math.round((performance.now() - begun) * 10) / 10
      record(entry, failure)
    }
  }

  // The server may close a kept-alive connection just when it is used again. undici then repeats the request, and does
  // not count that as an attempt.
  async #send({ outgoing, agent }: Prepared, timeoutMs: number): Promise<Incoming> {
    const { clock } = this.#options
    try {
      return await exchange(outgoing, agent, clock, timeoutMs)
    } catch (error) {
      if (
        (error as NodeJS.ErrnoException).code !== RESET_ON_REUSE ||
        (error as { reused?: boolean }).reused !== true
      ) {
        throw error
      }
      return await exchange(outgoing, agent, clock, timeoutMs)
    }
  }
}

// jambonz reads only a body of a JSON content type. Invalid JSON fails the request, as undici's body.json() does.
function parseReply({ headers, body }: Incoming): unknown {
  if (headers['content-type']?.includes('application/json') !== true) return undefined
  return JSON.parse(body)
}

/**
 * Returns the query of an absolute url as jambonz sends it: parsed and encoded anew. Of a repeated parameter, only the
 * last value is sent (parse-url 8 and 9, undici).
 */
function rewrittenQuery({ searchParams }: URL): string {
  const query = stringify(Object.fromEntries(searchParams))
  return query === '' ? '' : `?${query}`
}
