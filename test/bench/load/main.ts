import { answerParent } from '../harness/rpc.js'
import { EchoMeter } from './EchoMeter.js'
import { callSidOf, Jambonz, type Asked } from './jambonz.js'
import { LoadCall } from './LoadCall.js'
import { Pacer, type Arrivals } from './Pacer.js'

export interface LoadOptions {
  port: number
  calls: number
  /** number of the first call */
  from?: number
  /**
   * path of the webhook whose answer has the path of the socket; without a webhook, all sockets open `/audio`
   */
  webhook?: string
  echo?: boolean
}

export interface Opened {
  /** ms from the start of the first connection until the last 101 has arrived */
  ms: number
  failures: string[]
}

export interface Progress {
  sent: number
  /** ms by which the load generator was late since the last time these figures were read */
  lateMs: number
  failures: string[]
  echo?: { count: number; p50: number; p99: number; max: number }
}

let options: LoadOptions | undefined
let calls: LoadCall[] = []
let asked: Asked[] = []
let jambonz: Jambonz | undefined
let pacer: Pacer | undefined
let echo: EchoMeter | undefined

const methods = {
  /** Posts the webhook of each call, if `webhook` is set. */
  async ask(given: LoadOptions): Promise<void> {
    options = given
    const { port, webhook, from = 0 } = given
    calls = Array.from({ length: given.calls }, (_, index) => new LoadCall(from + index))
    jambonz = new Jambonz(port)
    asked =
      webhook === undefined
        ? []
        : await jambonz.ask(
            webhook,
            calls.map(({ index }) => index)
          )
    echo = given.echo ? new EchoMeter() : undefined
  },

  /** Opens all sockets at once. */
  async open(): Promise<Opened> {
    const { port } = given()
    const began = performance.now()
    const opened = await Promise.allSettled(
      calls.map(async (call, at) => {
        const { path = '/audio', metadata = {} } = asked[at] ?? {}
        await call.open(
          port,
          path,
          {
            callSid: callSidOf(call.index),
            sampleRate: 8000,
            mixType: 'mono',
            direction: 'inbound',
            ...metadata
          },
          echo
        )
      })
    )
    return {
      ms: performance.now() - began,
      failures: opened.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []))
    }
  },

  /** Sends audio on every call until `pause()`. */
  speak(arrivals: Arrivals): void {
    pacer = new Pacer(calls, arrivals)
    pacer.start()
  },

  progress(): Progress {
    const samples = echo?.take()
    return {
      sent: calls.reduce((sum, { sent }) => sum + sent, 0),
      lateMs: pacer?.takeLateMs() ?? 0,
      failures: failures(),
      ...(samples && {
        echo: {
          count: samples.length,
          p50: percentile(samples, 0.5),
          p99: percentile(samples, 0.99),
          max: samples.at(-1) ?? 0
        }
      })
    }
  },

  /** Stops sending audio. Returns the number of messages that each call has sent. */
  pause(): number[] {
    pacer?.stop()
    return calls.map(({ sent }) => sent)
  },

  /** Ends all calls: closes their sockets, then posts their actionHooks. */
  async hangUp(statusHook: string | undefined): Promise<{ failures: string[] }> {
    await Promise.all(calls.map((call) => call.close()))
    await jambonz?.finish(
      calls.flatMap((call, at) => {
        const { actionHook } = asked[at] ?? {}
        return actionHook === undefined ? [] : [{ call: call.index, actionHook }]
      })
    )
    if (statusHook !== undefined) {
      await jambonz?.hangUp(
        statusHook,
        calls.map(({ index }) => index)
      )
    }
    jambonz?.close()
    return { failures: failures() }
  }
}
export type LoadMethods = typeof methods

function given(): LoadOptions {
  if (options === undefined) throw new Error('nothing was asked for')
  return options
}

function failures(): string[] {
  return calls.flatMap(({ index, failure }) => (failure === undefined ? [] : [`call ${index}: ${failure}`]))
}

function percentile(sorted: Float64Array, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

answerParent(methods)
