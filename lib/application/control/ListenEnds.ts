import type { FastifyBaseLogger } from 'fastify'
import type { Call, EndReason, Listen, StoredCall } from '../../model/schema.js'
import { isOpen } from '../../model/listenLife.js'
import type { CallStore } from '../../store/CallStore.js'
import type { Platform } from '../../verbs/index.js'
import type { SocketCommand } from '../websocket/wire.js'
import type { CallChannel } from './CallChannel.js'
import type { RestApi } from './RestApi.js'

/**
 * ms in which a command must be sent. 1 s later the socket itself is ended, and no command must be sent after
 * that.
 */
const REACH_WITHIN = 1_000
/** The reasons for which we end a single listen. A drain ends all listens of a call together. */
const OF_ONE_LISTEN: ReadonlySet<EndReason> = new Set([
  'timeout',
  'finishOnKey',
  'maxLength',
  'disconnected',
  'error'
])

/**
 * us -> jambonz: ends the verb that runs, as a `disconnect` on that verb's own socket does. jambonz then runs its next
 * verbs. The command is a redirect without verbs (feature-server call-session.js, _lccCallHook).
 */
const END_VERB: SocketCommand = { command: 'redirect', data: {} }
/** us -> jambonz: ends the background listen. */
const END_BACKGROUND: SocketCommand = { command: 'config', data: { listen: { enable: false } } }

/** The listen of a stream, and its call; undefined until they are known. */
interface Known {
  readonly call?: Call | undefined
  readonly listen?: Listen | undefined
}

export interface ListenEndsDeps {
  readonly store: CallStore
  readonly platform: Platform
  readonly channel: CallChannel
  /** undefined without the option `api` */
  readonly api: RestApi | undefined
  /** Returns the url for `call_hook`, whose answer makes jambonz end the listen: see `statusOfEnd`. */
  readonly endUrl: (listenId: string) => string
  readonly logger: FastifyBaseLogger
}

/**
 * Ends one listen of a call, so that the call's other listens go on. If the socket of one listen is closed,
 * jambonz 0.9 ends all listens of the call. If jambonz is asked to end the verb instead, it ends only the
 * listen of this verb.
 */
export class ListenEnds {
  readonly #deps: ListenEndsDeps

  constructor(deps: ListenEndsDeps) {
    this.#deps = deps
  }

  /**
   * Asks jambonz to end only this listen, if another listen of its call has a socket, or had one since this listen
   * began. Returns undefined if jambonz can't be asked, because of its version, the transport of the call, the nesting
   * of the listen or the reason. Resolves to true when jambonz was asked. Resolves to false if there is no such listen,
   * or if the call has ended or can't be reached. Never rejects.
   */
  endAlone({ call, listen }: Known, reason: EndReason): Promise<boolean> | undefined {
    if (call === undefined || listen === undefined) return undefined
    const { platform, api } = this.#deps
    const isInFront = listen.nested === undefined && listen.legCallSid === undefined
    const isReached = (call as StoredCall).transport === 'websocket' || (isInFront && api !== undefined)
    const canEnd = isReached && (isInFront || listen.nested === 'config')
    if (platform !== '0.9' || !canEnd || !OF_ONE_LISTEN.has(reason)) return undefined
    return this.#ask(listen, reason)
  }

  async #ask(listen: Listen, reason: EndReason): Promise<boolean> {
    const { store, channel, logger } = this.#deps
    const { callSid, id: listenId, nested } = listen
    try {
      const call = await store.get(callSid)
      const hasOthers = call?.listens.some(
        (other) => other.id !== listenId && (isOpen(other) || hasEndedDuring(listen, other))
      )
      if (!hasOthers || call?.endedAt !== undefined) return false
      const command = nested === 'config' ? END_BACKGROUND : END_VERB
      const isAsked =
        (await channel.order({ callSid, command }, REACH_WITHIN)) || (await this.#askOverApi(listen))
      if (isAsked) {
        logger.info({ callSid, listenId, endReason: reason }, 'jambonz was asked to end one listen')
      }
      return isAsked
    } catch (err) {
      logger.warn({ err, callSid, listenId }, 'jambonz could not be asked to end one listen of its call')
      return false
    }
  }

  async #askOverApi({ callSid, id, nested }: Listen): Promise<boolean> {
    const { api, endUrl } = this.#deps
    if (api === undefined || nested !== undefined) return false
    return await api.updateCall(callSid, { call_hook: endUrl(id) })
  }
}

/**
 * Returns true if another listen has ended since this one began. jambonz before 0.9.7 may then not notice that the
 * socket of this listen closes (feature-server lib/tasks/listen.js, _removeListeners).
 */
function hasEndedDuring({ startedAt, createdAt }: Listen, { endedAt, connected }: Listen): boolean {
  return connected && endedAt !== undefined && Date.parse(endedAt) >= Date.parse(startedAt ?? createdAt)
}

/**
 * Returns the HTTP status with which we answer jambonz' request for the verbs that replace a listen. It is
 * 204 while the listen runs, since an answer without verbs ends the present verb. It is 410 if another verb
 * may run by now, since an error leaves the present verb running.
 */
export function statusOfEnd(call: Call, listenId: unknown): 204 | 410 {
  return call.listens.some(({ id, state }) => id === listenId && state === 'streaming') ? 204 : 410
}
