const MAX_RETRIES = 5
const CONNECTION_ERRORS = new Set(['ECONNREFUSED', 'ETIMEDOUT', 'ECONNRESET', 'ECONNABORTED'])
const FIRST_BACKOFF_MS = 500
const DOUBLING_UNTIL_MS = 2_000

/** A failed request, as jambonz tells failures apart. */
export interface Failure {
  status?: number | undefined
  code?: string | undefined
  timedOut?: boolean | undefined
}

/** What the fragment of a hook's url asks for: `#rc=3&rp=4xx,5xx,ct,rt,all` (feature-server lib/utils/http-requestor.js). */
export class RetryPolicy {
  readonly #count: number
  readonly #on: string[]
  #backoff = FIRST_BACKOFF_MS

  constructor(fragment: string) {
    const params = new URLSearchParams(fragment.replace(/^#/, ''))
    const count = Number.parseInt(params.get('rc') ?? '0')
    this.#count = fragment === '' || Number.isNaN(count) ? 0 : Math.min(Math.abs(count), MAX_RETRIES)
    this.#on = (params.get('rp') ?? 'ct').split(',').map((value) => value.trim())
  }

  /** Ms to wait before the next attempt, or nothing when `failure` of this attempt (from 1) is final. */
  next(attempt: number, failure: Failure): number | undefined {
    if (attempt > this.#count || !this.#covers(failure)) return undefined
    const delay = this.#backoff
    this.#backoff = delay < DOUBLING_UNTIL_MS ? delay * 2 : delay + DOUBLING_UNTIL_MS
    return delay
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
