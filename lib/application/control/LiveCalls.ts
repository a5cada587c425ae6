import { Type } from '@sinclair/typebox'
import type { CallEmitter } from '../../correlation/CallEvents.js'
import type { Correlation } from '../../correlation/Correlation.js'
import { checkOptions, kindOf } from '../../model/checkOptions.js'
import { ERR_API_MISSING, ERR_NOT_REACHED, ERR_OPTIONS, ERR_VERB_INVALID } from '../../model/errors.js'
import { isObject } from '../../model/json.js'
import type { Call } from '../../model/schema.js'
import type { StoreHealth } from '../../store/CallStore.js'
import {
  jsonOfVerbs,
  type HandlerResult,
  type Platform,
  type Verb,
  type VerbsResult
} from '../../verbs/index.js'
import type { SocketCommand } from '../websocket/wire.js'
import type { CallChannel, Order } from './CallChannel.js'
import { addressOf, checkCall, withAbsoluteHooks, type CreateCall, type RestApi } from './RestApi.js'

/** The dub track on which `say()` speaks during a listen. A call may have two dub tracks (mod_dub). */
const SAY_TRACK = 'fastify-jambonz-say'

/** The parts that carry commands to calls. The plugin sets them once they exist. */
export interface CallControl {
  readonly platform: Platform
  readonly channel: CallChannel
  /** undefined without the option `api` */
  readonly api: RestApi | undefined
  /** Checks verbs, and keeps them for jambonz to fetch. Resolves to the url to fetch them from. */
  readonly keepVerbs: (callSid: string, verbs: HandlerResult) => Promise<string>
  /** Returns the public url of a webhook's or hook's path; undefined without the option `publicUrl`. */
  readonly urlOf: (path: string) => string | undefined
}

const RedirectOptionsSchema = Type.Object(
  { queue: Type.Optional(Type.Boolean()) },
  { additionalProperties: false }
)
const CommandOptionsSchema = Type.Object(
  { toolCallId: Type.Optional(Type.String()), legCallSid: Type.Optional(Type.String({ minLength: 1 })) },
  { additionalProperties: false }
)

/**
 * `fastify.jambonz.calls`: the calls of the shared store, and commands for live calls, from any instance. A
 * command resolves once it is sent, since jambonz confirms no command. It rejects with
 * FST_JAMBONZ_NOT_REACHED, within 2 s, if no instance holds the call's application websocket and the option
 * `api` does not reach the call either. It rejects with FST_JAMBONZ_OPTIONS for wrong arguments.
 */
export class LiveCalls {
  readonly #correlation: Correlation
  #control: CallControl | undefined

  constructor(correlation: Correlation) {
    this.#correlation = correlation
  }

  /** The events of the calls on this instance. If a listener throws, the error is logged and no call is affected. */
  get events(): CallEmitter {
    return this.#correlation.events
  }

  /** Resolves to a snapshot of the call; undefined when it is unknown or expired. */
  get(callSid: string): Promise<Call | undefined> {
    return this.#correlation.store.get(callSid)
  }

  /** Resolves to snapshots of the calls the store knows, newest first. */
  list(): Promise<Call[]> {
    return this.#correlation.store.list()
  }

  /** Returns the state of the store. */
  health(): StoreHealth {
    return this.#correlation.store.health()
  }

  /**
   * Merges `data`, JSON, key by key into `call.data`, which all instances see. The call may be one of which no message
   * has come yet, as after another program has placed it.
   */
  async update(callSid: string, data: Readonly<Record<string, unknown>>): Promise<Call> {
    const wrong = wrongArgument(callSid, data)
    if (wrong !== undefined) {
      throw new ERR_OPTIONS(`calls.update(): ${wrong}: write calls.update(callSid, { name: value })`)
    }
    return await this.#correlation.updated(callSid, data)
  }

  /** Handles a message of another instance. For the plugin. */
  told(message: unknown): void {
    this.#control?.channel.told(message)
  }

  /** Sets the ways to reach calls. For the plugin. */
  useControl(control: CallControl): void {
    this.#control = control
  }

  /**
   * Sends new verbs to a live call, for example a listen in mid-call. The new verbs are filled in and checked
   * like the verbs of a handler. They replace the present verb and the remaining verbs; with `queue` they run
   * after these. `queue` needs an application websocket. If the new verbs end a listen, jambonz calls its
   * actionHook, and verbs in the answer to that hook replace the new verbs. Without verbs (`[]` or `undefined`)
   * the present verb ends and the remaining verbs are dropped: a call over a websocket then waits for new verbs,
   * a call over HTTP ends.
   */
  redirect(callSid: string, verb: Verb, options?: { queue?: boolean | undefined }): Promise<void>
  redirect(callSid: string, verbs: VerbsResult, options?: { queue?: boolean | undefined }): Promise<void>
  async redirect(
    callSid: string,
    verbs: HandlerResult,
    options: { queue?: boolean | undefined } = {}
  ): Promise<void> {
    checkOptions(RedirectOptionsSchema, options, 'options of calls.redirect()')
    const { queue = false } = options
    const sent = asJson(verbs)
    if (await this.#order({ callSid, verbs: sent, queue })) return
    if (queue) throw new ERR_NOT_REACHED(callSid, 'verbs are queued only over its application websocket')
    const { keepVerbs } = this.#connected
    await this.#viaApi(callSid, async () => ({ call_hook: await keepVerbs(callSid, sent) }))
  }

  /** Ends a live call. */
  async hangUp(callSid: string): Promise<void> {
    const data = { call_status: 'completed' }
    await this.#command(callSid, { command: 'call:status', data }, data)
  }

  /**
   * Says a text to the caller: at once during a listen or a dial, and after the present verb during any other
   * verb. During a listen, jambonz 0.9 speaks on a dub track, since a whisper of a `say` fails there
   * (feature-server lib/tasks/listen.js, whisper). Listens that run already do not get this audio (mod_dub).
   */
  async say(callSid: string, text: string): Promise<void> {
    if (typeof text !== 'string') {
      throw new ERR_OPTIONS(`calls.say(): the text is no string but ${typeof text}`)
    }
    const say = { verb: 'say' as const, text }
    const call = await this.get(callSid)
    const listen = call?.listens.find(({ state, nested }) => state === 'streaming' && nested !== 'config')
    if (listen !== undefined) {
      if (listen.nested === undefined && this.#connected.platform === '0.9') {
        // If the call has the track already, the first command fails in jambonz, and changes nothing.
        await this.#dub(callSid, { action: 'addTrack', track: SAY_TRACK })
        return await this.#dub(callSid, { action: 'sayOnTrack', track: SAY_TRACK, say: text })
      }
      return await this.#command(callSid, { command: 'whisper', data: { whisper: say } }, { whisper: say })
    }
    await this.redirect(callSid, [say], { queue: true })
  }

  /** Mutes the caller in a dial or a conference. In other verbs, jambonz can't mute the caller. */
  async mute(callSid: string, muted: boolean): Promise<void> {
    if (typeof muted !== 'boolean') {
      throw new ERR_OPTIONS(`calls.mute(): muted must be true or false, not ${typeof muted}`)
    }
    const status = muted ? 'mute' : 'unmute'
    await this.#command(callSid, { command: 'mute:status', data: status }, { mute_status: status })
  }

  /**
   * Sends any command of jambonz' application websocket, such as `llm:tool-output` with its `toolCallId`. `callSid`: the
   * call that has the websocket. `legCallSid`: the leg that the call has dialled, for commands such as `dub` and
   * `whisper`, which otherwise concern the caller.
   */
  async command(
    callSid: string,
    command: string,
    data?: unknown,
    options: { toolCallId?: string | undefined; legCallSid?: string | undefined } = {}
  ): Promise<void> {
    checkOptions(CommandOptionsSchema, options, 'options of calls.command()')
    if (typeof command !== 'string' || command === '') {
      throw new ERR_OPTIONS(
        `calls.command(): the command must be its name, such as "redirect", not ${typeof command}`
      )
    }
    const { toolCallId, legCallSid } = options
    const sent: SocketCommand = {
      command,
      data,
      ...(toolCallId !== undefined && { toolCallId }),
      ...(legCallSid !== undefined && { legCallSid })
    }
    if (!(await this.#order({ callSid, command: sent }))) {
      throw new ERR_NOT_REACHED(callSid, 'no instance holds its application websocket')
    }
  }

  /**
   * Places a call over the REST api (option `api`). Resolves to its callSid, when the store has the call. A path as
   * `call_hook` or `call_status_hook` becomes absolute with the option `publicUrl`, without which it is sent unchanged.
   * Rejects with FST_JAMBONZ_OPTIONS for a call that jambonz would refuse.
   */
  async create(call: CreateCall): Promise<string> {
    const { api, urlOf } = this.#connected
    if (api === undefined) throw new ERR_API_MISSING('calls.create()')
    checkCall(call)
    const callSid = await api.createCall(withAbsoluteHooks(call, urlOf))
    await this.#correlation.arrived(callSid, { direction: 'outbound', from: call.from, to: addressOf(call) })
    return callSid
  }

  async #dub(callSid: string, dub: Record<string, unknown>): Promise<void> {
    await this.#command(callSid, { command: 'dub', data: dub }, { dub })
  }

  async #command(callSid: string, command: SocketCommand, change: Record<string, unknown>): Promise<void> {
    if (await this.#order({ callSid, command })) return
    await this.#viaApi(callSid, async () => change)
  }

  async #order(order: Order): Promise<boolean> {
    return await this.#connected.channel.order(order)
  }

  async #viaApi(callSid: string, change: () => Promise<Record<string, unknown>>): Promise<void> {
    const { api } = this.#connected
    if (api === undefined) {
      throw new ERR_NOT_REACHED(
        callSid,
        'no instance holds an application websocket of it. Calls that jambonz asks for over HTTP need the option api'
      )
    }
    if (!(await api.updateCall(callSid, await change()))) {
      throw new ERR_NOT_REACHED(callSid, 'jambonz knows no such live call')
    }
  }

  get #connected(): CallControl {
    if (this.#control === undefined) {
      throw new Error('the plugin is not ready: command calls after fastify.ready()')
    }
    return this.#control
  }
}

/** Returns a copy of verbs as JSON. Throws FST_JAMBONZ_VERB_INVALID. */
function asJson(verbs: HandlerResult): HandlerResult {
  const json = jsonOfVerbs(verbs ?? [], 'these verbs')
  if (typeof json === 'object' && json !== null) return json as HandlerResult
  throw new ERR_VERB_INVALID(
    `a ${typeof verbs} is no verbs: pass an array of verbs, one verb, a WebhookResponse, or nothing`
  )
}

/** Returns what is wrong with the arguments of `update()`, for an application in JavaScript. */
function wrongArgument(callSid: unknown, data: unknown): string | undefined {
  if (typeof callSid !== 'string') return `the callSid is ${kindOf(callSid)}, not a string`
  if (callSid === '') return 'the callSid is empty'
  return isObject(data) ? undefined : `the data is ${kindOf(data)}, not an object`
}
