import { SIM_REQUEST } from '../errors.js'
import type { RequestRecord } from '../types.js'
import type { Message } from './messages.js'

interface Waiting {
  entry: RequestRecord
  succeed: (data: unknown) => void
  fail: (why: string) => void
}

export interface UnacknowledgedOptions {
  /** Real ms that the application has to acknowledge a message, whatever the speed of the simulation. */
  ackTimeoutMs: number
  record: (request: RequestRecord) => void
}

/** The messages that the application has not acknowledged yet, by message id. */
export class Unacknowledged {
  readonly #options: UnacknowledgedOptions
  readonly #waiting = new Map<string, Waiting>()

  constructor(options: UnacknowledgedOptions) {
    this.#options = options
  }

  /** Resolves to the data of the ack. Rejects with FST_JAMBONZ_SIM_REQUEST when none comes in time. */
  add({ type, hook, msgid }: Message, entry: RequestRecord): Promise<unknown> {
    const { ackTimeoutMs, record } = this.#options
    const begun = performance.now()
    if (hook !== undefined) entry.hook = hook
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer)
        this.#waiting.forEach((one, id) => {
          if (one === waiting) this.#waiting.delete(id)
        })
        entry.latencyMs = Math.round((performance.now() - begun) * 10) / 10
        record(entry)
      }
      const waiting: Waiting = {
        entry,
        succeed: (data) => {
          settle()
          resolve(data)
        },
        fail: (why) => {
          entry.error = why
          settle()
          reject(new SIM_REQUEST(`${type}${hook === undefined ? '' : ` ${hook}`} ${why}`))
        }
      }
      const timer = setTimeout(() => {
        // A message that session:reconnect has replaced has no timeout any more, as in jambonz.
        if (this.#waiting.get(msgid) === waiting) waiting.fail(`not acknowledged within ${ackTimeoutMs} ms`)
      }, ackTimeoutMs)
      this.#waiting.set(msgid, waiting)
    })
  }

  /**
   * Makes the ack of message `by` also acknowledge message `msgid`. Returns false if `msgid` does not wait for an ack.
   */
  replace(msgid: string | undefined, by: string): boolean {
    const waiting = msgid === undefined ? undefined : this.#waiting.get(msgid)
    if (msgid === undefined || waiting === undefined) return false
    this.#waiting.delete(msgid)
    this.#waiting.set(by, waiting)
    return true
  }

  /** Resolves the wait for the message that this ack names. */
  acknowledge(msgid: string, data: unknown): void {
    const waiting = this.#waiting.get(msgid)
    if (waiting === undefined) return
    waiting.entry.acked = true
    waiting.entry.reply = data
    waiting.succeed(data)
  }

  /** Rejects the waits for all messages. */
  fail(why: string): void {
    for (const { fail } of [...this.#waiting.values()]) fail(why)
  }
}
