import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import { answerParent } from '../harness/rpc.js'
import { FRAME_MS } from './frames.js'
import { Jambonz, payloadOf, signatureOf } from './jambonz.js'
import { Pacer } from './Pacer.js'

export interface HttpOptions {
  port: number
  path: string
  connections: number
}

/** length of a run: its `duration` in seconds, or the `amount` of requests */
export type HttpLength = { duration: number } | { amount: number }

export interface SteadyOptions {
  port: number
  path: string
  /** requests per second */
  rate: number
  /** seconds */
  duration: number
}

export interface HttpResult {
  requests: number
  /** number of requests without an answer, or with a status other than 2xx */
  failures: number
  /** latency in ms: median (`p50`), and 99th percentile (`p99`) */
  p50: number
  p99: number
}

let calls = 0

/**
 * Keeps this process from sleeping, until the returned function is called. Otherwise, a server that is slower than this
 * process would have to wake it with each answer, which costs the server 10 µs or more on a virtual machine.
 */
function stayAwake(): () => void {
  let isAwake = true
  const turn = (): void => {
    if (isAwake) setImmediate(turn)
  }
  turn()
  return () => {
    isAwake = false
  }
}

const methods = {
  /**
   * Sends webhooks of new calls, signed as jambonz signs them. Each connection sends a webhook when the
   * previous one has been answered.
   */
  async run({ port, path, connections, ...length }: HttpOptions & HttpLength): Promise<HttpResult> {
    const mayRest = stayAwake()
    const result = await autocannon({
      url: `http://127.0.0.1:${port}${path}`,
      connections,
      ...length,
      requests: [
        {
          method: 'POST',
          path,
          setupRequest(request) {
            const body = JSON.stringify(payloadOf(randomUUID()))
            return {
              ...request,
              body,
              headers: { 'content-type': 'application/json', 'jambonz-signature': signatureOf(body) }
            }
          }
        }
      ]
    })
    mayRest()
    return {
      requests: result['2xx'],
      failures: result.non2xx + result.errors + result.timeouts,
      p50: result.latency.p50,
      p99: result.latency.p99
    }
  },

  /** Sends the same webhooks one by one, at equal intervals. */
  async steady({ port, path, rate, duration }: SteadyOptions): Promise<HttpResult> {
    const mayRest = stayAwake()
    const jambonz = new Jambonz(port)
    const result = { requests: 0, failures: 0 }
    const waits: number[] = []
    const asked = new Set<Promise<void>>()
    const send = (): void => {
      const sentAt = performance.now()
      const one = jambonz
        .webhook(path, calls++)
        .then(
          () => {
            result.requests++
            waits.push(performance.now() - sentAt)
          },
          () => {
            result.failures++
          }
        )
        .finally(() => asked.delete(one))
      asked.add(one)
    }
    const pacer = new Pacer(
      Array.from({ length: (rate * FRAME_MS) / 1_000 }, () => ({ send })),
      'even'
    )
    pacer.start()
    await sleep(duration * 1_000)
    pacer.stop()
    await Promise.all(asked)
    mayRest()
    jambonz.close()
    waits.sort((a, b) => a - b)
    const at = (part: number): number => waits[Math.floor(waits.length * part)] ?? NaN
    return { ...result, p50: at(0.5), p99: at(0.99) }
  }
}
export type HttpMethods = typeof methods

answerParent(methods)
