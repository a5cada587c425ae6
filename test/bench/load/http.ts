import { randomUUID } from 'node:crypto'
import autocannon from 'autocannon'
import { answerParent } from '../harness/rpc.js'
import { payloadOf, signatureOf } from './jambonz.js'

export interface HttpOptions {
  port: number
  path: string
  connections: number
}

/** How long: seconds, or requests. */
export type HttpLength = { duration: number, /** requests a second; as many as can be */ overallRate?: number } | { amount: number }

export interface HttpResult {
  requests: number
  /** answers other than 2xx, and none */
  failures: number
  /** ms */
  p99: number
}

const methods = {
  /** Webhooks of new calls, each signed as jambonz signs it. */
  async run ({ port, path, connections, ...length }: HttpOptions & HttpLength): Promise<HttpResult> {
    const result = await autocannon({
      url: `http://127.0.0.1:${port}${path}`,
      connections,
      ...length,
      requests: [{
        method: 'POST',
        path,
        setupRequest (request) {
          const body = JSON.stringify(payloadOf(randomUUID()))
          return { ...request, body, headers: { 'content-type': 'application/json', 'jambonz-signature': signatureOf(body) } }
        }
      }]
    })
    return { requests: result['2xx'], failures: result.non2xx + result.errors + result.timeouts, p99: result.latency.p99 }
  }
}
export type HttpMethods = typeof methods

answerParent(methods)
