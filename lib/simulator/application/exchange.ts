import { request, type Agent, type IncomingMessage } from 'node:http'
import { Agent as TlsAgent, request as requestTls } from 'node:https'
import type { Cancel, Clock } from '../clock.js'
import { hostOf } from '../network.js'

/** A request as it is sent. The headers keep their order and case. */
export interface Outgoing {
  url: URL
  path: string
  method: string
  headers: Record<string, string>
  body: string | undefined
}

export interface Incoming {
  status: number
  headers: IncomingMessage['headers']
  body: string
}

const MAX_REPLY = 10 * 1024 * 1024

/** The error for a peer that did not begin to answer within the timeout. */
export class TimeoutError extends Error {
  override name = 'TimeoutError'
}

/**
 * Sends one HTTP request and reads the whole answer. `timeoutMs` limits the wait for the head of the answer in real ms,
 * as undici does.
 */
export function exchange(
  outgoing: Outgoing,
  agent: Agent,
  clock: Clock,
  timeoutMs: number
): Promise<Incoming> {
  const { url, path, method, headers, body } = outgoing
  return new Promise((resolve, reject) => {
    // In this process, an application with an https url is reached without TLS.
    const send = agent instanceof TlsAgent ? requestTls : request
    const outbound = send({ host: hostOf(url), port: url.port, path, method, headers, agent })
    let cancel: Cancel | undefined
    // jambonz queues requests to one host. The time in the queue does not count.
    outbound.on('socket', () => {
      cancel = clock.deadline(timeoutMs, () =>
        outbound.destroy(new TimeoutError(`no answer within ${timeoutMs} ms`))
      )
    })
    outbound.on('error', (error) => {
      cancel?.()
      reject(Object.assign(error, { reused: outbound.reusedSocket }))
    })
    outbound.on('response', (response) => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > MAX_REPLY) outbound.destroy(new Error(`reply of more than ${MAX_REPLY} bytes`))
        else chunks.push(chunk)
      })
      response.on('error', reject)
      response.on('end', () => {
        cancel?.()
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('utf8')
        })
      })
    })
    outbound.end(body)
  })
}
