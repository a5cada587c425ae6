import { EventEmitter } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import { formatOf } from '../model/format.js'
import type { Hmac } from '../model/Hmac.js'
import { withKnown, type FinishedRecording } from '../recording/index.js'
import type { ExpectedListen } from '../verbs/index.js'
import { callFieldsOfMetadata, isFinal } from '../model/callFields.js'
import { idsOfEvent, type CallEventMap, type Calls } from './Calls.js'
import type { CallStore, Claim } from '../store/CallStore.js'
import type { CallPatch } from '../model/patch.js'
import { callSidOf, createListenId } from '../model/listenId.js'
import { isOpenAgain, listenIn } from '../model/patch.js'
import type { Call, Listen } from '../model/schema.js'
import { isSaved } from '../model/segments.js'

/** ms the end of a listen waits for the recordings of its earlier sockets: a hook waits for that. */
const SAVE_WAIT = 4_500

export type CallFields = NonNullable<CallPatch['call']>

export interface CorrelatorDeps {
  store: CallStore
  calls: Calls
  secret: Hmac
  logger: FastifyBaseLogger
}

export interface Correlated {
  call: Call
  listen: Listen
}

/** Brings the three connections of a listen together: the one writer of calls and listens. */
export class Correlator {
  readonly #deps: CorrelatorDeps

  constructor(deps: CorrelatorDeps) {
    this.#deps = deps
    const events: EventEmitter = deps.calls.events
    events[EventEmitter.captureRejectionSymbol] = (err, name, ...args) => {
      this.#blame(err, name as keyof CallEventMap, args as never)
    }
  }

  /**
   * A request of jambonz about a call, and what it says of the call's listens. Status events may overtake each other:
   * nothing revives a call that has ended.
   */
  async arrive(callSid: string, fields: CallFields, listens?: CallPatch['listens']): Promise<Call> {
    const patch = { call: fields, ...(listens && { listens }) }
    if (isFinal(fields.callStatus)) return await this.#endCall(callSid, patch)
    const { created, call } = await this.#deps.store.update(callSid, patch)
    if (created) this.emit('call', call)
    return call
  }

  async #endCall(callSid: string, patch: CallPatch): Promise<Call> {
    const { first, created, call } = await this.#deps.store.end(callSid, patch)
    if (created) this.emit('call', call)
    if (!first) return call
    let last = call
    // A listen that was handed over while the caller hung up: nobody will open its socket any more.
    for (const listen of call.listens.filter(isOpenAgain)) last = (await this.conclude(listen)).call
    this.emit('callEnded', last)
    return last
  }

  /** Ends a listen whose socket, or whose next one, never came: once, whoever else does. */
  async conclude(listen: Listen): Promise<Correlated> {
    await this.saved(listen)
    const { concluded, call } = await this.#deps.store.conclude(listen, {
      endReason: listen.segments === undefined ? 'notConnected' : 'drained',
      endedAt: listen.segments?.at(-1)?.endedAt ?? new Date().toISOString()
    })
    const ended = correlated(call, listen.id)
    if (!concluded) return ended
    this.#deps.logger.warn(
      { callSid: listen.callSid, listenId: listen.id, endReason: ended.listen.endReason },
      'listen ended before its socket came'
    )
    if (ended.listen.recording) this.emit('recording', ended.listen.recording, ended.listen)
    this.emit('listenEnded', ended.listen, call)
    return ended
  }

  /** The listen, once the recordings of the sockets are final that it had when `listen` was read; or as it is after SAVE_WAIT. */
  async saved(listen: Listen): Promise<Listen> {
    const { callSid, id, segments } = listen
    if (isSaved({ segments, saved: 0 })) return listen
    const call = await this.#deps.store.waitFor(
      callSid,
      id,
      (now) => now === undefined || isSaved({ segments, saved: now.saved }),
      SAVE_WAIT
    )
    return listenIn(call, id) ?? listen
  }

  /**
   * The listens of an answer, written before it leaves: their sockets may open on any instance at once.
   * `application`: all its verbs as JSON, should one of them be handed over.
   */
  async expect(
    callSid: string,
    listens: readonly ExpectedListen[],
    application: string | undefined
  ): Promise<void> {
    if (listens.length === 0) return
    await this.#deps.store.update(callSid, { call: { application }, listens })
  }

  /** Takes the listen for a socket of this instance; `claimed` is false for a second socket. */
  claim(listenId: string): Promise<Claim> {
    return this.#deps.store.claim(callSidOf(listenId) ?? listenId, listenId)
  }

  /**
   * The listen of a socket whose path names none (`strict: false`): by the id in its metadata, by call and leg,
   * else a new one for a listen that was set up elsewhere.
   */
  async identify(metadata: Record<string, unknown>, metadataKey: string, path: string): Promise<Correlated> {
    for (const [callSid, listenId] of await this.#candidates(metadata, metadataKey, path)) {
      const { claimed, call } = await this.#deps.store.claim(callSid, listenId)
      if (claimed) return correlated(call, listenId)
    }
    return await this.#adopt(metadata, path)
  }

  async #candidates(
    metadata: Record<string, unknown>,
    metadataKey: string,
    path: string
  ): Promise<Array<[callSid: string, listenId: string]>> {
    const named = metadata[metadataKey]
    const candidates: Array<[string, string]> = []
    if (typeof named === 'string') {
      const callSid = callSidOf(named)
      const call = callSid && (await this.#deps.store.get(callSid))
      if (call && listenIn(call, named)) candidates.push([call.callSid, named])
    }
    for (const sid of [metadata.callSid, metadata.parentCallSid]) {
      const call = typeof sid === 'string' ? await this.#deps.store.get(sid) : undefined
      const open =
        call?.listens.filter(
          (listen) => listen.state === 'expected' && listen.instance === undefined && listen.path === path
        ) ?? []
      candidates.push(...open.reverse().map((listen): [string, string] => [listen.callSid, listen.id]))
    }
    return candidates
  }

  async #adopt(metadata: Record<string, unknown>, path: string): Promise<Correlated> {
    const callSid = String(metadata.callSid)
    const listenId = createListenId(this.#deps.secret, callSid, `${path}\n${Date.now()}\n${Math.random()}`)
    await this.arrive(callSid, callFieldsOfMetadata(metadata))
    await this.#deps.store.update(callSid, { listens: [{ id: listenId, path, ...formatOf(metadata) }] })
    const { call } = await this.#deps.store.claim(callSid, listenId)
    return correlated(call, listenId)
  }

  /** What the socket of a listen has to say; the instance that holds it is the one that writes these fields. */
  async write(listen: Listen, fields: Partial<Listen>): Promise<Correlated> {
    const { call } = await this.#deps.store.update(listen.callSid, {
      listens: [{ ...fields, id: listen.id }]
    })
    return correlated(call, listen.id)
  }

  /** A recording that was finished, or repaired, after its listen had gone on or ended. */
  async recorded({ callSid, id }: Listen, recording: FinishedRecording): Promise<void> {
    const { store } = this.#deps
    const known = listenIn(await store.get(callSid), id)?.recording
    await store.update(callSid, { listens: [{ id, recording: withKnown(recording, known) }] })
  }

  /** The store has ended a listen whose instance died. */
  lost(call: Call, listenId: string): void {
    this.emit('listenEnded', correlated(call, listenId).listen, call)
  }

  /** The listen of a hook that does not name it: the latest of the call that has not ended, else the latest. */
  latestListen(call: Call, verbId: string | undefined): Listen | undefined {
    const { listens } = call
    return (
      listens.find(({ id, verbId: own }) => verbId !== undefined && (own === verbId || id === verbId)) ??
      listens.findLast(({ state, nested }) => state !== 'ended' && nested !== 'config') ??
      listens.at(-1)
    )
  }

  /** A listener that throws, or rejects, is the application's fault, and must not touch the call. */
  emit<Name extends keyof CallEventMap>(name: Name, ...args: CallEventMap[Name]): void {
    const { events } = this.#deps.calls
    try {
      // EventEmitter's types resolve the arguments only for a literal name.
      ;(events.emit as (name: string, ...args: unknown[]) => boolean).call(events, name, ...args)
    } catch (err) {
      this.#blame(err, name, args)
    }
  }

  #blame<Name extends keyof CallEventMap>(err: unknown, name: Name, args: CallEventMap[Name]): void {
    this.#deps.logger.error(
      { err, event: name, ...idsOfEvent(name, args) },
      'a listener of jambonz.calls.events threw'
    )
  }
}

export function correlated(call: Call, listenId: string): Correlated {
  const listen = listenIn(call, listenId)
  if (listen === undefined) throw new Error(`the store lost listen ${listenId} of call ${call.callSid}`)
  return { call, listen }
}
