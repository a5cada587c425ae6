import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { ERR_NOT_REACHED } from '../../model/errors.js'
import { wallClock, withinMs } from '../../model/time.js'
import { type Hmac, seal, unseal } from '../../model/tokens.js'
import type { CallStore } from '../../store/CallStore.js'
import type { HandlerResult } from '../../verbs/index.js'
import type { ApplicationSockets } from '../websocket/ApplicationSockets.js'
import { DEADLINES, type SocketCommand } from '../websocket/wire.js'

/** ms between two looks for the next holder of a call, since the news of it may be lost */
const LOOK_EVERY = 500
/** ms that late verbs wait for a reconnect of jambonz, whose first four attempts take 7.5 s */
const LATE_WITHIN = 10_000

/**
 * Maximum age of an order, in ms. It is limited, since anybody who can publish in the store could send an old
 * order again. It equals the maximum age of jambonz' signatures, so an instance whose clock is exact enough
 * for webhooks can also give orders.
 */
const ORDER_TTL = 300_000
/** Maximum number of orders to remember, more than all calls of an instance get in twice ORDER_TTL. */
const MAX_REMEMBERED = 50_000

/** An order: a command or verbs for a call, as JSON. `prepared`: verbs that are ready for jambonz. */
export type Order =
  | { callSid: string; command: SocketCommand }
  | { callSid: string; verbs: HandlerResult; queue: boolean }
  | { callSid: string; prepared: readonly unknown[] }

/**
 * A message between instances. The holder of a call is the instance that has its application websocket. A message is an
 * encrypted order to the holder, its encrypted outcome, or the news that an instance has become the holder.
 */
type Told =
  | { order: string; id: string; from: string; to: string | undefined }
  | { ordered: string; to: string; outcome: string }
  | { holds: string; by: string }

/**
 * The outcome of an order. `reached`: true if the order was sent to jambonz. `error`: the mistake in the
 * order, in a text that may quote its verbs.
 */
interface Outcome {
  reached: boolean
  error?: OrderError
}

interface OrderError {
  message: string
  code?: string
  statusCode?: number
}

interface Waiting {
  done: (reached: boolean) => void
  failed: (error: Error) => void
}

export interface CallChannelDeps {
  readonly store: CallStore
  readonly sockets: ApplicationSockets
  /** name of this instance */
  readonly instance: string
  /** encrypts orders; the same on all instances */
  readonly secret: Hmac
  readonly logger: FastifyBaseLogger
}

/**
 * Sends each order once, to the holder of the call: the instance with the call's application websocket, which
 * the store names. While jambonz reconnects, an order waits for the next holder.
 */
export class CallChannel {
  readonly #deps: CallChannelDeps
  readonly #waiting = new Map<string, Waiting>()
  /** the functions to call when a call has its next holder, by callSid */
  readonly #awaited = new Map<string, Set<() => void>>()
  readonly #taken = new TakenOrders()
  #warned = false

  constructor(deps: CallChannelDeps) {
    this.#deps = deps
  }

  /**
   * Resolves to true when any instance has sent the order to jambonz. Resolves to false if the call is
   * unknown, or if jambonz asks for its verbs over HTTP. Rejects if the order is wrong. Rejects with
   * FST_JAMBONZ_NOT_REACHED if no instance has sent the order within `ms`.
   */
  async order(order: Order, ms = DEADLINES.command): Promise<boolean> {
    const { store, sockets } = this.#deps
    const { callSid } = order
    if (!sockets.holds(callSid) && (await store.get(callSid))?.transport !== 'websocket') return false
    if (await this.#deliver(order, ms)) return true
    throw new ERR_NOT_REACHED(callSid, 'no instance holds its application websocket just now')
  }

  /**
   * Sends verbs that came too late for an ack, or whose socket had closed, from the instance to which jambonz
   * reconnects. Resolves to false if jambonz does not reconnect within 10 s, or if the call has ended.
   */
  async late(callSid: string, prepared: readonly unknown[]): Promise<boolean> {
    return await this.#deliver({ callSid, prepared }, LATE_WITHIN)
  }

  /** Tells all instances that this instance holds the call, since jambonz has reconnected to it. */
  holds(callSid: string): void {
    this.#holderCame(callSid)
    const { store, instance } = this.#deps
    if (store.shared) store.tell({ holds: callSid, by: instance } satisfies Told)
  }

  /** Takes a message of another instance. */
  told(message: unknown): void {
    const told = message as Partial<Told> | null
    if (told === null || typeof told !== 'object') return
    if ('order' in told) this.#orderTold(told as Extract<Told, { order: string }>)
    else if ('ordered' in told && told.to === this.#deps.instance) {
      this.#outcomeTold(told as Extract<Told, { ordered: string }>)
    } else if ('holds' in told && typeof told.holds === 'string') this.#holderCame(told.holds)
  }

  /**
   * Asks the instance that holds the call's websocket, and each next holder when jambonz reconnects, until an instance
   * has sent the order. An instance that gave no reply is not asked again, since it may have sent the order. Resolves to
   * false if none has sent it within `ms`.
   */
  async #deliver(order: Order, ms: number): Promise<boolean> {
    const { store, sockets, instance } = this.#deps
    const deadline = performance.now() + ms
    /** the replies of the holders that were asked, by holder */
    const asked = new Map<string, Promise<boolean | undefined>>()
    for (;;) {
      const next = this.#nextHolder(order.callSid, deadline - performance.now())
      let looking: NodeJS.Timeout | undefined
      try {
        const call = store.shared ? await store.get(order.callSid) : undefined
        if (call?.endedAt !== undefined && 'prepared' in order) return false
        const holder = call?.holder
        if (store.shared) looking = setInterval(() => this.#look(order.callSid, holder), LOOK_EVERY)
        const isOurs = holder === undefined || holder === instance
        if (isOurs && sockets.holds(order.callSid) && (await this.#execute(order))) return true
        if (store.shared && holder !== instance) {
          const left = Math.min(DEADLINES.command, deadline - performance.now())
          // A holder's reply may come after the news that it is the holder, so it is still awaited then.
          const reply = asked.get(holder ?? '') ?? this.#ask(order, holder, left)
          reply.catch(() => {})
          asked.set(holder ?? '', reply)
          // A holder that has stopped gives no reply, so this also ends when jambonz reconnects.
          const isSent = await Promise.race([reply, next.came.then(() => undefined)])
          if (isSent) return true
          if (isSent === false) asked.delete(holder ?? '')
        }
        if (!(await next.came)) return false
      } finally {
        clearInterval(looking)
        next.cancel()
      }
    }
  }

  /** Returns `came`, which resolves to true when jambonz reconnects to any instance, and to false after `ms`. */
  #nextHolder(callSid: string, ms: number): { came: Promise<boolean>; cancel: () => void } {
    let settle = (_came: boolean): void => {}
    const came = new Promise<boolean>((resolve) => {
      const waiting = this.#awaited.get(callSid) ?? new Set()
      this.#awaited.set(callSid, waiting)
      const noticed = (): void => settle(true)
      waiting.add(noticed)
      const timer = setTimeout(() => settle(false), Math.max(0, ms))
      settle = (isHere) => {
        clearTimeout(timer)
        waiting.delete(noticed)
        if (waiting.size === 0) this.#awaited.delete(callSid)
        resolve(isHere)
      }
    })
    return { came, cancel: () => settle(false) }
  }

  /** Notices a next holder whose news was lost, since the store names it instead of `holder`. */
  async #look(callSid: string, holder: string | undefined): Promise<void> {
    const call = await this.#deps.store.get(callSid).catch(() => undefined)
    if (call !== undefined && call.holder !== holder) this.#holderCame(callSid)
  }

  #holderCame(callSid: string): void {
    for (const noticed of [...(this.#awaited.get(callSid) ?? [])]) noticed()
  }

  /**
   * Resolves to true when `holder` has sent the order, to false if it has not, and to undefined if it gives no reply
   * within `ms`.
   */
  async #ask(order: Order, holder: string | undefined, ms: number): Promise<boolean | undefined> {
    const { store, instance, secret } = this.#deps
    const id = randomUUID()
    const outcome = new Promise<boolean>((resolve, reject) =>
      this.#waiting.set(id, { done: resolve, failed: reject })
    )
    try {
      const route = { id, from: instance, to: holder }
      const sealed = seal(secret, aboutOrder(route), JSON.stringify({ at: wallClock(), order }))
      store.tell({ order: sealed, ...route } satisfies Told)
      return await withinMs(ms, outcome)
    } finally {
      this.#waiting.delete(id)
    }
  }

  async #orderTold({ order: sealed, id, from, to }: Extract<Told, { order: string }>): Promise<void> {
    const { store, sockets, instance, secret } = this.#deps
    if ((to !== undefined && to !== instance) || typeof sealed !== 'string') return
    const opened = unseal(secret, aboutOrder({ id, from, to }), sealed)
    if (opened === undefined) {
      return this.#warn(
        { from },
        'an order of another instance could not be decrypted: all instances need the same option secret'
      )
    }
    const { at, order } = JSON.parse(opened) as { at: number; order: Order }
    if (to === undefined && !sockets.holds(order.callSid)) return
    if (!this.#taken.add(id, at)) {
      return this.#warn(
        { from, callSid: order.callSid, ageMs: wallClock() - at },
        'an order was refused: it was received before, or is older than 5 minutes. Compare the clocks of the instances, and check who can publish in their store'
      )
    }
    const outcome = seal(secret, aboutOutcome(id, from), JSON.stringify(await this.#outcomeOf(order)))
    store.tell({ ordered: id, to: from, outcome } satisfies Told)
  }

  /** Executes an order of another instance. Never rejects. */
  async #outcomeOf(order: Order): Promise<Outcome> {
    try {
      return { reached: this.#deps.sockets.holds(order.callSid) && (await this.#execute(order)) }
    } catch (err) {
      const { message, code, statusCode } = err as Error & { code?: string; statusCode?: number }
      const error = {
        message,
        ...(code !== undefined && { code }),
        ...(statusCode !== undefined && { statusCode })
      }
      return { reached: false, error }
    }
  }

  /** Logs only the first refused order, since anybody who can publish in the store could fill the log. */
  #warn(fields: object, message: string): void {
    if (!this.#warned) this.#deps.logger.warn(fields, message)
    this.#warned = true
  }

  #outcomeTold({ ordered, outcome: sealed }: Extract<Told, { ordered: string }>): void {
    const { instance, secret } = this.#deps
    const waiting = this.#waiting.get(ordered)
    if (waiting === undefined) return
    const opened =
      typeof sealed === 'string' ? unseal(secret, aboutOutcome(ordered, instance), sealed) : undefined
    if (opened === undefined) {
      return this.#warn(
        { ordered },
        'the outcome of an order could not be decrypted: all instances need the same option secret. Check who can publish in their store'
      )
    }
    const { reached, error } = JSON.parse(opened) as Outcome
    if (error === undefined) waiting.done(reached)
    else waiting.failed(Object.assign(new Error(error.message), error))
  }

  async #execute(order: Order): Promise<boolean> {
    const { sockets } = this.#deps
    if ('command' in order) return await sockets.command(order.callSid, order.command)
    if ('prepared' in order) return await sockets.sendVerbs(order.callSid, order.prepared, false)
    return await sockets.redirect(order.callSid, order.verbs, order.queue)
  }
}

/** The orders that this instance has taken, by id, so that none is taken twice. */
class TakenOrders {
  /** the time at which each id may be forgotten, ms of performance.now() */
  readonly #until = new Map<string, number>()

  /**
   * Notes an order. Returns false if the order is known, or was not made within ORDER_TTL. `at`: ms since the
   * epoch.
   */
  add(id: string, at: number): boolean {
    if (this.#until.has(id) || !(Math.abs(wallClock() - at) <= ORDER_TTL)) return false
    const now = performance.now()
    for (const [oldest, until] of this.#until) {
      if (until > now && this.#until.size < MAX_REMEMBERED) break
      this.#until.delete(oldest)
    }
    // An order of an instance whose clock is ahead stays valid for up to twice ORDER_TTL.
    this.#until.set(id, now + 2 * ORDER_TTL)
    return true
  }
}

/**
 * Returns the text that binds an encrypted outcome to its order, and to the instance that waits for the
 * outcome.
 */
function aboutOutcome(id: string, to: string): string {
  return `outcome\n${JSON.stringify([id, to])}`
}

/**
 * Returns the text that binds an encrypted order to its sender and receiver, so that no other instance
 * accepts it.
 */
function aboutOrder({ id, from, to }: { id: string; from: string; to: string | undefined }): string {
  return `order\n${JSON.stringify([id, from, to ?? null])}`
}
