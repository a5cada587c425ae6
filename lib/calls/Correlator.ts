import type { KeyObject } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { formatOf } from '../audio/format.js'
import type { ExpectedListen } from '../verbs/index.js'
import { callFieldsOfMetadata, isFinal } from '../webhook/payload.js'
import { idsOfEvent, type CallEventMap, type Calls } from './Calls.js'
import type { CallPatch, CallStore, Claim } from './CallStore.js'
import { callSidOf, createListenId } from './listenId.js'
import { byId, isOffered, isOpenAgain, newListen } from './patch.js'
import type { Call, Listen } from './schema.js'

/** ms an actionHook waits for the end of its listen; then `listen.state` says how far it got. */
export const HOOK_WAIT = 5_000

export interface CorrelatorDeps {
  store: CallStore
  calls: Calls
  secret: KeyObject
  logger: FastifyBaseLogger
  /** reads at once what a live stream of this instance has in its socket */
  nudge: (listenId: string) => void
}

/** What an actionHook says of its listen. */
export interface HookReport {
  digits?: string
  /** whole seconds; absent when the socket could not be opened, or with a GET hook, which says nothing */
  duration?: number
}

export interface Correlated {
  call: Call
  listen: Listen
}

/** Brings the three connections of a listen together: the one writer of calls and listens. */
export class Correlator {
  readonly #deps: CorrelatorDeps

  constructor (deps: CorrelatorDeps) {
    this.#deps = deps
  }

  /** A request of jambonz about a call. */
  async arrive (callSid: string, fields: NonNullable<CallPatch['call']>): Promise<Call> {
    const { store } = this.#deps
    const { created, call } = await store.update(callSid, { call: fields })
    if (created) this.emit('call', call)
    return isFinal(fields.callStatus) ? await this.#endCall(callSid, fields) : call
  }

  /** A status event. They may overtake each other: nothing revives a call that has ended. */
  async status (callSid: string, fields: NonNullable<CallPatch['call']>): Promise<Call> {
    const before = await this.#deps.store.get(callSid)
    return before?.endedAt === undefined ? await this.arrive(callSid, fields) : before
  }

  async #endCall (callSid: string, fields: NonNullable<CallPatch['call']>): Promise<Call> {
    const { first, call } = await this.#deps.store.end(callSid, { call: fields })
    if (!first) return call
    let last = call
    // A listen that was handed over while the caller hung up: nobody will open its socket any more.
    for (const listen of call.listens.filter(isOpenAgain)) last = (await this.conclude(listen)).call
    this.emit('callEnded', last)
    return last
  }

  /** Ends a listen whose socket, or whose next one, never came. */
  async conclude (listen: Listen, fields: Partial<Listen> = {}): Promise<Correlated> {
    const ended = await this.write(listen, {
      ...fields,
      state: 'ended',
      endReason: listen.segments === undefined ? 'notConnected' : 'drained',
      endedAt: listen.segments?.at(-1)?.endedAt ?? new Date().toISOString()
    })
    this.#deps.logger.warn({ callSid: listen.callSid, listenId: listen.id, endReason: ended.listen.endReason }, 'listen ended before its socket came')
    if (ended.listen.recording) this.emit('recording', ended.listen.recording, ended.listen)
    this.emit('listenEnded', ended.listen, ended.call)
    return ended
  }

  /**
   * The listens of an answer, written before it leaves: their sockets may open on any instance at once.
   * `application`: all its verbs as JSON, should one of them be handed over.
   */
  async expect (callSid: string, listens: readonly ExpectedListen[], application: string | undefined): Promise<void> {
    if (listens.length === 0) return
    await this.#deps.store.update(callSid, {
      call: { application },
      listens: byId(listens)
    })
  }

  /** Takes the listen for a socket of this instance; `claimed` is false for a second socket. */
  claim (listenId: string): Promise<Claim> {
    return this.#deps.store.claim(callSidOf(listenId) ?? listenId, listenId)
  }

  /**
   * The listen of a socket whose path names none (`strict: false`): by the id in its metadata, by call and leg,
   * else a new one for a listen that was set up elsewhere.
   */
  async identify (metadata: Record<string, unknown>, metadataKey: string, path: string): Promise<Correlated> {
    for (const [callSid, listenId] of await this.#candidates(metadata, metadataKey, path)) {
      const { claimed, call } = await this.#deps.store.claim(callSid, listenId)
      if (claimed) return correlated(call, listenId)
    }
    return await this.#adopt(metadata, path)
  }

  async #candidates (metadata: Record<string, unknown>, metadataKey: string, path: string): Promise<Array<[callSid: string, listenId: string]>> {
    const named = metadata[metadataKey]
    const candidates: Array<[string, string]> = []
    if (typeof named === 'string') {
      const callSid = callSidOf(named)
      const call = callSid && await this.#deps.store.get(callSid)
      if (call && call.listens.some(({ id }) => id === named)) candidates.push([call.callSid, named])
    }
    for (const sid of [metadata.callSid, metadata.parentCallSid]) {
      const call = typeof sid === 'string' ? await this.#deps.store.get(sid) : undefined
      const open = call?.listens.filter((listen) => listen.state === 'expected' && listen.instance === undefined && listen.path === path) ?? []
      candidates.push(...open.reverse().map((listen): [string, string] => [listen.callSid, listen.id]))
    }
    return candidates
  }

  async #adopt (metadata: Record<string, unknown>, path: string): Promise<Correlated> {
    const callSid = String(metadata.callSid)
    const listenId = createListenId(this.#deps.secret, callSid, `${path}\n${Date.now()}\n${Math.random()}`)
    await this.arrive(callSid, callFieldsOfMetadata(metadata))
    await this.#deps.store.update(callSid, { listens: { [listenId]: { path, ...formatOf(metadata) } } })
    const { call } = await this.#deps.store.claim(callSid, listenId)
    return correlated(call, listenId)
  }

  /** What the socket of a listen has to say; the instance that holds it is the one that writes these fields. */
  async write (listen: Listen, fields: Partial<Listen>): Promise<Correlated> {
    const { call } = await this.#deps.store.update(listen.callSid, { listens: { [listen.id]: fields } })
    return correlated(call, listen.id)
  }

  /**
   * The listen an actionHook speaks of, with its audio complete: waits until the socket has closed and the recording
   * is final, on whichever instance, for at most HOOK_WAIT. undefined when no such listen is known.
   */
  async finished (listenId: string, report: HookReport, hasPayload: boolean): Promise<Correlated | undefined> {
    const callSid = callSidOf(listenId)
    const found = callSid === undefined ? undefined : await this.#find(callSid, listenId)
    if (found === undefined) return undefined
    const { listen } = await this.#settled(found, hasPayload && report.duration !== undefined)
    const fields = hookFields(listen, report)
    const said = this.#available || (hasPayload && report.duration === undefined)
    return listen.state === 'expected' && said && !isOffered(listen)
      ? await this.conclude(listen, fields)
      : await this.write(listen, fields)
  }

  get #available (): boolean {
    return this.#deps.store.health?.().available ?? true
  }

  /** While the store is away its instance may be the one that knows the listen; it tells as soon as it can. */
  async #find (callSid: string, listenId: string): Promise<Correlated | undefined> {
    const { store } = this.#deps
    let call = await store.get(callSid)
    let listen = listenIn(call, listenId)
    if (call === undefined || listen !== undefined || this.#available) return call && listen && { call, listen }
    call = await store.ended(callSid, listenId, HOOK_WAIT) ?? call
    listen = listenIn(call, listenId) ?? newListen(callSid, listenId)
    return { call, listen }
  }

  async #settled ({ call, listen }: Correlated, connected: boolean): Promise<Correlated> {
    const { store, nudge } = this.#deps
    const mayYetConnect = listen.instance !== undefined || connected
    if (listen.state === 'ended' || isOffered(listen) || !mayYetConnect) return { call, listen }
    nudge(listen.id)
    const then = await store.ended(call.callSid, listen.id, HOOK_WAIT) ?? call
    return { call: then, listen: listenIn(then, listen.id) ?? listen }
  }

  /** The store has ended a listen whose instance died. */
  lost (call: Call, listenId: string): void {
    this.emit('listenEnded', correlated(call, listenId).listen, call)
  }

  /** The listen of a hook that does not name it: the latest of the call that has not ended, else the latest. */
  latestListen (call: Call, verbId: string | undefined): Listen | undefined {
    const { listens } = call
    return listens.find(({ id, verbId: own }) => verbId !== undefined && (own === verbId || id === verbId)) ??
      listens.findLast(({ state, nested }) => state !== 'ended' && nested !== 'config') ??
      listens.at(-1)
  }

  /** A listener that throws is the application's fault, and must not touch the call. */
  emit<Name extends keyof CallEventMap> (name: Name, ...args: CallEventMap[Name]): void {
    const { calls, logger } = this.#deps
    try {
      // EventEmitter's types resolve the arguments only for a literal name.
      (calls.events.emit as (name: string, ...args: unknown[]) => boolean).call(calls.events, name, ...args)
    } catch (err) {
      logger.error({ err, event: name, ...idsOfEvent(name, args) }, 'a listener of jambonz.calls.events threw')
    }
  }
}

function hookFields (listen: Listen, { digits, duration }: HookReport): Partial<Listen> {
  return {
    hookedAt: new Date().toISOString(),
    ...(digits !== undefined && { digits }),
    ...(duration !== undefined && { reportedDuration: duration }),
    ...(digits !== undefined && listen.endReason === 'closed' && { endReason: 'finishOnKey' as const })
  }
}

function listenIn (call: Call | undefined, listenId: string): Listen | undefined {
  return call?.listens.find(({ id }) => id === listenId)
}

function correlated (call: Call, listenId: string): Correlated {
  const listen = listenIn(call, listenId)
  if (listen === undefined) throw new Error(`the store lost listen ${listenId} of call ${call.callSid}`)
  return { call, listen }
}
