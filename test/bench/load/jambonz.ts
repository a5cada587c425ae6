import { createHmac } from 'node:crypto'
import { Agent, request } from 'node:http'

/** maximum number of requests that wait for an answer at the same time */
const CONCURRENCY = 50
export const WEBHOOK_SECRET = 'the-account-of-the-benchmark'

export interface Asked {
  /** path of the audio socket */
  path: string
  actionHook: string
  metadata: Record<string, unknown>
}

/** Returns the callSid of the nth call. */
export function callSidOf(index: number): string {
  return `b0000000-0000-4000-8000-${String(index).padStart(12, '0')}`
}

/** Returns the payload of a call's webhook, with the fields that feature-server posts. */
export function payloadOf(callSid: string): Record<string, unknown> {
  return {
    call_sid: callSid,
    direction: 'inbound',
    from: '+15085551212',
    to: '+15085551313',
    caller_name: '',
    call_id: `sip-${callSid}`,
    sbc_callid: `sbc-${callSid}`,
    sip_status: 100,
    sip_reason: 'Trying',
    call_status: 'trying',
    account_sid: '9351f46a-678c-43f5-b8a6-d4eb58d131af',
    application_sid: '0e0681b0-d49f-4fb8-b973-b5a3c6758de1',
    trace_id: 'ef45ac2c1b3a4b6f8d1e2f3a4b5c6d7e',
    fs_sip_address: '10.0.0.5:5070',
    service_provider_sid: '2708b1b3-2736-40ea-b502-c53d8396247f',
    sip: {
      headers: { 'X-CID': 'abc', 'from': '<sip:+15085551212@10.0.0.1>', 'to': '<sip:+15085551313@10.0.0.2>' },
      method: 'INVITE'
    },
    defaults: {
      synthesizer: { vendor: 'google', language: 'en-US', voice: 'en-US-Standard-C' },
      recognizer: { vendor: 'google', language: 'en-US' }
    }
  }
}

export function signatureOf(body: string): string {
  const timestamp = Math.floor(Date.now() / 1000)
  return `t=${timestamp},v1=${createHmac('sha256', WEBHOOK_SECRET).update(`${timestamp}.${body}`).digest('hex')}`
}

export interface Verb {
  verb: string
  url?: string
  actionHook?: string
  metadata?: Record<string, unknown>
}

/** Sends the HTTP requests of jambonz: a webhook before each call's audio, and a hook after it. */
export class Jambonz {
  readonly #port: number
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY })

  constructor(port: number) {
    this.#port = port
  }

  /** Posts a webhook for each call. Resolves to the listen verbs of the answers. */
  async ask(webhook: string, calls: readonly number[]): Promise<Asked[]> {
    return await inBatches(calls, async (call) => {
      const verbs = (await this.webhook(webhook, call)) as Verb[]
      const { url, actionHook, metadata = {} } = verbs.find(({ verb }) => verb === 'listen') ?? { verb: '' }
      if (url === undefined || actionHook === undefined) {
        throw new Error(`${webhook} answered no listen: ${JSON.stringify(verbs)}`)
      }
      return { path: url, actionHook, metadata }
    })
  }

  /** Posts the webhook of one call. Resolves to the answer. */
  async webhook(path: string, call: number): Promise<unknown> {
    return await this.#post(path, payloadOf(callSidOf(call)))
  }

  /** Posts the actionHook of each call. */
  async finish(asked: ReadonlyArray<{ call: number; actionHook: string }>): Promise<void> {
    await inBatches(asked, async ({ call, actionHook }) => {
      await this.#post(actionHook, {
        ...payloadOf(callSidOf(call)),
        call_status: 'in-progress',
        dial_call_duration: 1
      })
    })
  }

  async hangUp(statusHook: string, calls: readonly number[]): Promise<void> {
    await inBatches(calls, async (call) => {
      await this.#post(statusHook, { ...payloadOf(callSidOf(call)), call_status: 'completed', duration: 1 })
    })
  }

  close(): void {
    this.#agent.destroy()
  }

  #post(path: string, payload: object): Promise<unknown> {
    return post({ port: this.#port, path, agent: this.#agent }, payload)
  }
}

/**
 * Posts a signed payload, as jambonz does. Resolves to the JSON of the answer. Rejects if the status is an
 * error.
 */
export function post(
  { port, path, agent }: { port: number; path: string; agent: Agent },
  payload: object
): Promise<unknown> {
  const body = JSON.stringify(payload)
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'jambonz-signature': signatureOf(body)
    }
    const posted = request({ host: '127.0.0.1', port, method: 'POST', path, headers, agent }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        if (response.statusCode !== undefined && response.statusCode < 300) {
          resolve(text === '' ? undefined : JSON.parse(text))
        } else reject(new Error(`${path} answered ${response.statusCode} ${text}`))
      })
    })
    posted.on('error', reject)
    posted.end(body)
  })
}

async function inBatches<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < items.length; at += CONCURRENCY) {
    results.push(...(await Promise.all(items.slice(at, at + CONCURRENCY).map(run))))
  }
  return results
}
