import type { FastifyBaseLogger } from 'fastify'
import { callFieldsOfMetadata, isFinal, type CallFields } from '../model/payloads.js'
import { correlated, listenIn, newListen, type CallWrite, type Correlated } from '../model/callWrite.js'
import {
  callSidOf,
  checkCallSid,
  issuerTag,
  SOCKET_TOKEN_TTL,
  type Hmac,
  type SocketToken
} from '../model/tokens.js'
import * as life from '../model/listenLife.js'
import type { EndReason, Listen, ListenSegment, StoredCall, StoredListen } from '../model/schema.js'
import type { FinishedRecording } from '../model/recording.js'
import type { CallStore, LostListen, Written } from '../store/CallStore.js'
import type { Credentials } from '../model/credentials.js'
import type { ExpectedListen } from '../verbs/index.js'
import { CallEvents, type CallEmitter, type CallEventMap } from './CallEvents.js'
import {
  CausedEnds,
  endedByHook,
  endIfCallHasEnded,
  endUnlessHeld,
  logNeverCame,
  mayHookTell,
  MissedEnds,
  ReasonWaits,
  watchInPlaceOf,
  type CausedEnd,
  type OpenTime
} from './endReasons.js'
import { goingOn, hasOurHook } from './handover.js'
import { countRecovered, DeadInstances, recordingsOf, segmentsSaved } from './recorded.js'

export interface CorrelationDeps {
  store: CallStore
  /** signs listen ids, socket paths and keys of hooks */
  secret: Hmac
  /** name of this instance */
  instance: string
  logger: FastifyBaseLogger
  /** option `auth`, for the verbs of a listen that is handed over */
  auth: Credentials | undefined
  /** Reads the socket of a listen of this instance to its end at once, since an actionHook waits for the end. */
  readToEnd: (listenId: string) => void
  /** Hands over the listens with these ids that this instance holds, since another instance hands over their call. */
  handOver: (listenIds: readonly string[]) => void
  /** Handles a message of another instance about a live call. */
  told?: (message: unknown) => void
}

/**
 * The result of a claim, by which an instance takes a listen for a socket. `claimed`: this instance has the listen.
 * `used`: the listen has or had a socket, or has ended. `unknown`: there is no such listen.
 */
export type Claimed = ({ outcome: 'claimed' } & Correlated) | { outcome: 'used' } | { outcome: 'unknown' }

/** The fields of a signed socket path that name the listen. */
export type ClaimedPath = Pick<SocketToken, 'listenId' | 'unknown' | 'paused' | 'issuer'>

/** The fields of a listen that its socket writes. */
export type ListenFields = { -readonly [Name in keyof Omit<Listen, 'id' | 'state'>]?: Listen[Name] }

/** A message between instances: an actionHook waits for a listen, a listen was ended, or listens are handed over. */
export type Message = { awaited: string } | { ended: CausedEnd } | { handsOver: readonly string[] }

/**
 * Writes all changes of calls and listens, with a method for each event. lib/model/listenLife.ts has the transitions,
 * hookCame.ts the actionHook, identified.ts the socket whose path names no listen, recorded.ts the late recording.
 */
export class Correlation {
  readonly deps: CorrelationDeps
  readonly #events: CallEvents
  readonly #ends: CausedEnds
  readonly #waits: ReasonWaits
  /** the instances that share the store and have died */
  readonly dead = new DeadInstances()
  readonly missed = new MissedEnds(this)
  /** tag of this instance in the paths that it signs */
  readonly issuer: string

  constructor(deps: CorrelationDeps) {
    this.deps = deps
    this.#events = new CallEvents(deps.logger)
    this.#ends = new CausedEnds(deps.logger)
    this.#waits = new ReasonWaits(deps.store, deps.logger)
    this.issuer = issuerTag(deps.instance)
  }

  /** Starts the store. `callTtl`: ms a call is kept after its last event. */
  async start(callTtl: number): Promise<void> {
    const { store, instance, logger } = this.deps
    await store.start({
      callTtl,
      expectedTtl: SOCKET_TOKEN_TTL,
      instance,
      logger,
      lost: (listen) => this.instanceLost(listen),
      died: (dead) => this.dead.add(dead),
      told: (message) => {
        this.#told(message as Partial<Message>)
        this.deps.told?.(message)
      }
    })
  }

  get store(): CallStore {
    return this.deps.store
  }

  get events(): CallEmitter {
    return this.#events.emitter
  }

  /** Emits an event to the application. If a listener throws or rejects, the error is logged; no call is affected. */
  emit<Name extends keyof CallEventMap>(name: Name, ...args: CallEventMap[Name]): void {
    this.#events.emit(name, ...args)
  }

  /** Emits `recording` for a saved recording, `recordingSpooled` for a recording that is still to be sent. */
  tellRecording(recording: FinishedRecording, listen: Listen): void {
    this.emit(recording.state === 'spooled' ? 'recordingSpooled' : 'recording', recording, listen)
  }

  /** Writes fields of a call. A late message does not reopen an ended call. Throws FST_JAMBONZ_CALL_SID. */
  arrived(callSid: string, fields: CallFields): Promise<StoredCall> {
    return this.writeOf(callSid, fields).then(({ call }) => call)
  }

  /** Writes the fields of a call and, in the same step, changes of its listens. A final status ends the call. */
  async writeOf(callSid: string, fields: CallFields, parts: CallWrite = []): Promise<Written> {
    checkCallSid(callSid)
    const ends = isFinal(fields.callStatus)
    const written = await this.store.write(callSid, [life.callPart(fields, ends), ...parts])
    if (written.created) this.emit('call', written.call)
    return ends && written.applied[0] ? { ...written, call: await this.#callEnded(written) } : written
  }

  /**
   * Ends the listens of an ended call that wait for their next socket. A listen without a socket so far ends some
   * seconds later, since the status may have overtaken its socket.
   */
  async #callEnded(written: Written): Promise<StoredCall> {
    let last = written.call
    for (const listen of written.call.listens) {
      if (life.isOffered(listen) || life.wasOffered(listen)) last = (await this.neverCame(listen)).call
    }
    endIfCallHasEnded(this, { ...written, call: last })
    await this.#waits.callEnded(last.callSid)
    this.emit('callEnded', last)
    return last
  }

  /** Merges data of the application into the call, which may be a call of which no message has come yet. */
  async updated(callSid: string, data: Readonly<Record<string, unknown>>): Promise<StoredCall> {
    const { call } = await this.store.write(callSid, [{ patch: { data } }])
    return call
  }

  /**
   * Writes the listens of an answer, before the answer is sent, since their sockets may open at once, on any instance.
   * `application`: the verbs of the answer as JSON, for a handover; `backgrounds`: the verbs that start a listen in the
   * background, by listen id. Resolves to true if all instances can see the listens.
   */
  async answered(
    callSid: string,
    listens: readonly ExpectedListen[],
    application?: string,
    backgrounds?: ReadonlyMap<string, string>
  ): Promise<boolean> {
    const written = backgrounds?.size
      ? listens.map((listen) => ({ ...listen, background: backgrounds.get(listen.id) }))
      : listens
    const call = application === undefined ? undefined : { application }
    const after = await this.store.write(callSid, [{ patch: { call, listens: written } }])
    endIfCallHasEnded(this, after)
    return after.kept && this.store.shared
  }

  /**
   * Claims the listen that a socket's path names, if no instance has claimed it. Creates an unknown listen only if the
   * store may not have received its answer yet. If the path says that the listen is paused, the result says so, too.
   */
  async claimed({ listenId, unknown, paused, issuer }: ClaimedPath): Promise<Claimed> {
    const { store, instance } = this.deps
    const callSid = callSidOf(listenId)
    if (callSid === undefined) return { outcome: 'unknown' }
    // This instance has its own copy of the listens that it answered, so it need not create them.
    const mayCreate = unknown && issuer !== this.issuer
    let written = await store.write(callSid, [life.claimPart(listenId, instance, mayCreate)])
    if (!written.kept && listenIn(written.call, listenId) === undefined) {
      // The store is away and can't confirm the listen, so the signature of the path has to be enough.
      written = await store.write(callSid, [life.claimPart(listenId, instance, true)])
    }
    const { applied, call } = written
    const listen = listenIn(call, listenId)
    if (listen === undefined) return { outcome: 'unknown' }
    if (!applied[0]) return { outcome: 'used' }
    return { outcome: 'claimed', call, listen: paused && !listen.paused ? { ...listen, paused } : listen }
  }

  /** Releases a claimed listen whose socket did not open. */
  async released({ callSid, id }: Listen): Promise<void> {
    endIfCallHasEnded(this, await this.store.write(callSid, [life.releasePart(id, this.deps.instance)]))
  }

  /** Writes that this closing instance refused a listen's socket, so that the hook's answer asks for a new socket. */
  async refused(listenId: string): Promise<void> {
    const callSid = callSidOf(listenId)
    if (callSid !== undefined) await this.store.write(callSid, [life.refusePart(listenId)])
  }

  /**
   * Writes the state of a listen whose socket streams. `metadata`: the socket's first frame, if the store does not know the
   * call. `streams` in the result is false if the listen has ended, so that the caller closes the socket.
   */
  async streaming(
    { callSid, id, offers }: StoredListen,
    fields: ListenFields,
    metadata?: Readonly<Record<string, unknown>>
  ): Promise<Correlated & { streams: boolean }> {
    const part = life.streamingPart(id, this.deps.instance, fields, offers)
    const { applied, call } =
      metadata === undefined
        ? await this.store.write(callSid, [part])
        : await this.writeOf(callSid, callFieldsOfMetadata(metadata), [part])
    const listen = listenIn(call, id)
    // If other instances declared the listen lost, the write is not applied, but the audio still streams here.
    const streams = applied.at(-1) === true || listen?.endReason === 'lost'
    return { call, listen: listen ?? newListen(callSid, id), streams }
  }

  /**
   * Resolves to the ids of the call's listens that can be handed over. Asks the other instances to hand over their
   * listens at the same time, since jambonz 0.9 ends all listens of a call when one socket closes.
   */
  async handsOver(callSid: string): Promise<readonly string[]> {
    const call = await this.store.get(callSid)
    const ids = call === undefined || call.endedAt !== undefined ? [] : goingOn(call)
    if (ids.length > 1) this.store.tell({ handsOver: ids } satisfies Message)
    return ids
  }

  /**
   * Writes that another instance takes the listen's next socket. Ends the listen if no hook asks for that socket.
   * Resolves to undefined if the listen has ended.
   */
  async handedOver(
    before: Listen,
    segment: ListenSegment,
    fields: ListenFields
  ): Promise<Correlated | undefined> {
    const watcher = this.deps.instance
    const { applied, call } = await this.store.write(before.callSid, [
      life.handOverPart(before.id, { ...fields, ...life.withSegment(before, segment), watcher })
    ])
    if (!applied[0]) return undefined
    const listen = listenIn(call, before.id) ?? (before as StoredListen)
    endUnlessHeld(this, listen)
    return { call, listen }
  }

  /** Writes that the listen's recording is paused, or runs again. */
  async paused({ callSid, id }: Listen, paused: Listen['paused']): Promise<void> {
    await this.store.write(callSid, [{ patch: { listens: [{ id, paused }] } }])
  }

  /** Writes that the recordings of the listen's first `saved` segments (sockets) are final: see `segmentsSaved()`. */
  async saved(listen: Listen, saved: number | undefined, fields: ListenFields): Promise<void> {
    await segmentsSaved(this.store, listen, saved, fields)
  }

  /**
   * Ends a listen whose socket has closed and whose recording is final. `listen`: as it was when the socket opened.
   * Emits `listenEnded` once, but not before the actionHook that may tell another end reason. If another instance has
   * ended the listen, it stays as it is, unless that instance declared it lost.
   */
  async closed(listen: Listen, fields: ListenFields & { saved?: number }): Promise<Correlated> {
    const { callSid, id, hookedAt } = listen as StoredListen
    const { applied, call } = await this.store.write(callSid, [
      life.closePart(id, fields),
      life.foundPart(id, this.deps.instance, fields)
    ])
    const closed = correlated(call, id)
    // A hook that came before the socket opened was for an earlier socket of the listen.
    const hasHook = closed.listen.hookedAt !== hookedAt
    const ended = hasHook ? await endedByHook(this.store, closed) : closed
    if (!applied[0]) return ended
    const mayTell = !hasHook && call.endedAt === undefined && mayHookTell(closed.listen)
    if (mayTell && hasOurHook(closed.listen)) {
      this.#waits.add(closed, hookedAt, (later) => this.emit('listenEnded', later.listen, later.call))
    } else this.emit('listenEnded', ended.listen, ended.call)
    return ended
  }

  /** Tells all instances that we end this listen, since jambonz 0.9 then ends all listens of the call. */
  ending({ callSid, id }: Listen, reason: EndReason): void {
    const end = { callSid, listenId: id, reason }
    if (this.#ends.add(end, true)) this.store.tell({ ended: end } satisfies Message)
  }

  /**
   * Returns the end reason of a listen: `reason`, for which its socket closed, or `otherEnded` if jambonz closed it
   * because we ended another listen. `open`: the time in which the socket was surely open.
   */
  endReasonOf({ callSid, id }: Listen, reason: EndReason, open: OpenTime): EndReason {
    return this.#ends.reasonOf({ callSid, listenId: id, reason }, open)
  }

  /**
   * Ends a listen whose first or next socket will not come. Emits `listenEnded` once, on one instance. `endedAt`: the end
   * of its call, if the listen ended with it.
   */
  async neverCame(listen: StoredListen, endedAt?: string): Promise<Correlated> {
    await recordingsOf(this, listen)
    const { applied, call } = await this.store.write(listen.callSid, [life.neverCamePart(listen, endedAt)])
    const ended = correlated(call, listen.id)
    if (!applied[0]) return ended
    logNeverCame(this.deps.logger, ended, this.store.shared)
    if (ended.listen.recording) this.tellRecording(ended.listen.recording, ended.listen)
    this.emit('listenEnded', ended.listen, call)
    return ended
  }

  /** Ends a listen that a dead instance held, or watches a listen that it only watched. Emits `listenEnded` once. */
  async instanceLost({ callSid, listenId, instance }: LostListen): Promise<void> {
    const lost = await this.store.write(callSid, [life.losePart(listenId, instance)])
    if (!lost.applied[0]) return watchInPlaceOf(this, instance, listenIn(lost.call, listenId))
    // Another instance may have repaired the listen's recording already, whose audio is then counted here.
    const call = await countRecovered(this.store, lost.call, listenId)
    const { listen } = correlated(call, listenId)
    this.deps.logger.warn(
      { callSid, listenId, instance },
      'the instance that held this listen is gone: the listen is lost'
    )
    this.emit('listenEnded', listen, call)
  }

  #told(message: Partial<{ awaited: unknown; ended: CausedEnd; handsOver: unknown }> | null): void {
    if (typeof message?.awaited === 'string') this.deps.readToEnd(message.awaited)
    if (Array.isArray(message?.handsOver)) this.deps.handOver(message.handsOver.map(String))
    const { callSid, listenId } = message?.ended ?? {}
    if (message?.ended && typeof callSid === 'string' && typeof listenId === 'string') {
      this.#ends.add(message.ended, false)
    }
  }
}
