import { randomUUID } from 'node:crypto'
import { ERR_NOT_REACHED } from '../../model/errors.js'
import type { HandlerResult } from '../../verbs/index.js'
import type { CallStore } from '../../store/CallStore.js'
import type { ApplicationSockets } from '../websocket/ApplicationSockets.js'
import type { SocketCommand } from '../websocket/wire.js'

/** ms that another instance gets to say that it has sent a command */
const REACH_WITHIN = 2_000

/** A command or verbs for a call; JSON. */
export type Order =
  { callSid: string; command: SocketCommand } | { callSid: string; verbs: HandlerResult; queue: boolean }

/** A message between instances: an order, or its outcome. */
type Told =
  | { order: Order; id: string; from: string }
  | { ordered: string; to: string; error?: { message: string; code?: string; statusCode?: number } }

interface Waiting {
  done: (reached: boolean) => void
  failed: (error: Error) => void
}

export interface CallChannelDeps {
  readonly store: CallStore
  readonly sockets: ApplicationSockets
  /** name of this instance */
  readonly instance: string
}

/** Brings orders to the instance that holds a call's application websocket. */
export class CallChannel {
  readonly #deps: CallChannelDeps
  readonly #waiting = new Map<string, Waiting>()

  constructor(deps: CallChannelDeps) {
    this.#deps = deps
  }

  /**
   * Resolves to true when the order has left for jambonz, on whichever instance; to false where jambonz asks for the
   * call over HTTP, or nobody knows it. Rejects with what was wrong with the order, and with FST_JAMBONZ_NOT_REACHED
   * when no instance has sent it within 2 s.
   */
  async order(order: Order): Promise<boolean> {
    const { callSid } = order
    if (await this.#execute(order)) return true
    const { store } = this.#deps
    if ((await store.get(callSid))?.transport !== 'websocket') return false
    if (store.shared && (await this.#ask(order))) return true
    throw new ERR_NOT_REACHED(callSid, 'no instance holds its application websocket just now')
  }

  /** Takes what another instance has told. */
  told(message: unknown): void {
    const told = message as Partial<Told>
    if ('order' in told && told.order !== undefined) this.#orderTold(told as Extract<Told, { order: Order }>)
    else if ('ordered' in told && told.to === this.#deps.instance) {
      this.#answerTold(told as Extract<Told, { ordered: string }>)
    }
  }

  #ask(order: Order): Promise<boolean> {
    const id = randomUUID()
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer)
        this.#waiting.delete(id)
      }
      const timer = setTimeout(() => {
        settle()
        resolve(false)
      }, REACH_WITHIN)
      this.#waiting.set(id, {
        done: (reached) => {
          settle()
          resolve(reached)
        },
        failed: (error) => {
          settle()
          reject(error)
        }
      })
      this.#deps.store.tell({ order, id, from: this.#deps.instance } satisfies Told)
    })
  }

  async #orderTold({ order, id, from }: Extract<Told, { order: Order }>): Promise<void> {
    if (!this.#deps.sockets.holds(order.callSid)) return
    try {
      if (await this.#execute(order)) this.#deps.store.tell({ ordered: id, to: from } satisfies Told)
    } catch (err) {
      const { message, code, statusCode } = err as Error & { code?: string; statusCode?: number }
      const error = {
        message,
        ...(code !== undefined && { code }),
        ...(statusCode !== undefined && { statusCode })
      }
      this.#deps.store.tell({ ordered: id, to: from, error } satisfies Told)
    }
  }

  #answerTold({ ordered, error }: Extract<Told, { ordered: string }>): void {
    const waiting = this.#waiting.get(ordered)
    if (error === undefined) waiting?.done(true)
    else waiting?.failed(Object.assign(new Error(error.message), error))
  }

  async #execute(order: Order): Promise<boolean> {
    const { sockets } = this.#deps
    return 'command' in order
      ? await sockets.command(order.callSid, order.command)
      : await sockets.redirect(order.callSid, order.verbs, order.queue)
  }
}
