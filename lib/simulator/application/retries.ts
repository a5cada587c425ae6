const MAX_RETRIES = 5
const CONNECTION_ERRORS = new Set(['ECONNREFUSED', 'ETIMEDOUT', 'ECONNRESET', 'ECONNABORTED'])
const FIRST_BACKOFF_MS = 500
const DOUBLING_UNTIL_MS = 2_000

/** The facts about a failed request on which jambonz' retry policy depends. */
export interface Failure {
  status?: number | undefined
  code?: string | undefined
  timedOut?: boolean | undefined
}

/** The waits between attempts: 500, 1000, 2000, 4000, 6000 ms, … */
export class Backoff {
  #ms = FIRST_BACKOFF_MS

  /** Returns the ms to wait before the next attempt. */
  next(): number {
    const ms = this.#ms
    this.#ms = ms < DOUBLING_UNTIL_MS ? ms * 2 : ms + DOUBLING_UNTIL_MS
    return ms
  }
}

/**
 * The retry policy in the fragment of a url, as in `#rc=3&rp=4xx,5xx,ct,rt,all` (feature-server
 * lib/utils/http-requestor.js, ws-requestor.js).
 */
export class RetryPolicy {
  /** How often a failed request is repeated. For a websocket, also how often the socket is opened. */
  readonly count: number
  readonly #on: string[]

  /** `unsaid`: the number of repeats if the fragment gives none, or gives 0. */
  constructor(fragment: string, unsaid = 0) {
    const params = new URLSearchParams(fragment.replace(/^#/, ''))
    const count = Number.parseInt(params.get('rc') ?? '0')
    this.count = Math.min(Math.abs(Number.isNaN(count) || count === 0 ? unsaid : count), MAX_RETRIES)
    this.#on = (params.get('rp') ?? 'ct').split(',').map((value) => value.trim())
  }

  /** Returns true if attempt number `attempt` (from 1) is repeated. */
  allows(attempt: number, failure: Failure): boolean {
    return attempt <= this.count && this.#covers(failure)
  }

  #covers({ status = 0, code, timedOut }: Failure): boolean {
    const kinds = ['all']
    if (code !== undefined && CONNECTION_ERRORS.has(code)) kinds.push('ct')
    if (timedOut === true) kinds.push('rt')
    if (status >= 400 && status < 500) kinds.push('4xx')
    if (status >= 500 && status < 600) kinds.push('5xx')
    return kinds.some((kind) => this.#on.includes(kind))
  }
}
