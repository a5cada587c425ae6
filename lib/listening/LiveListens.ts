import type { FastifyBaseLogger } from 'fastify'
import type { AudioStream } from '../audio/stream/AudioStream.js'
import type { SlowReason } from '../audio/socket/frames/SocketReader.js'
import { listenIn } from '../model/callWrite.js'
import { stageOf } from '../model/listenLife.js'
import type { StoredListen } from '../model/schema.js'
import { wallClock, withinMs } from '../model/time.js'
import { callSidOf, type SocketToken } from '../model/tokens.js'
import type { CallStore } from '../store/CallStore.js'
import type { LiveListen } from './LiveListen.js'

export interface DrainOptions {
  /** ms that live streams are given to end by themselves */
  timeoutMs: number
  /** true if other instances continue the streams */
  handover: boolean
  /** ms to wait for the actionHook of a stream that has ended */
  hookPatience: number
  /** Resolves when the hooks that have come are answered, or after `ms`. */
  answered: (ms: number) => Promise<void>
}

/** The names, in the log, of the programs whose version the fast reader may not know: audio then costs more CPU. */
const MISFITS = { ws: 'ws', node: 'Node.js' } as const

/** The live streams of this instance: `fastify.jambonz.streams`. A stream is live until its socket has closed. */
export class LiveStreams {
  readonly #listens: Iterable<LiveListen>

  constructor(listens: Iterable<LiveListen>) {
    this.#listens = listens
  }

  /**
   * Returns the live stream with this listen id, or the newest live stream of the call with this callSid. The callSid
   * of the leg that is streamed (`Listen.legCallSid`) finds the stream, too. Returns undefined if there is none.
   */
  get(callSidOrListenId: string): AudioStream | undefined {
    return this.list().findLast(({ callSid, listen }) =>
      [listen.id, callSid, listen.legCallSid].includes(callSidOrListenId)
    )
  }

  /** Returns all live streams, the oldest first. */
  list(): AudioStream[] {
    return Array.from(this.#listens).flatMap(({ live }) => (live.isOver ? [] : (live.stream ?? [])))
  }
}

/** The listens that have a socket on this instance. */
export class LiveListens {
  readonly #listens = new Set<LiveListen>()
  readonly streams = new LiveStreams(this.#listens)
  #opening = 0
  // time at which the drain began, ms since the epoch
  #sealedAt = Infinity
  #handingOver = false
  // true once the time for streams to end by themselves is over.
  #ending = false
  #readByWs = 0
  readonly #store: CallStore
  readonly #logger: FastifyBaseLogger
  /** the listens that this instance answered, and whose sockets have not come to it */
  readonly expected: ExpectedListens

  constructor(store: CallStore, logger: FastifyBaseLogger) {
    this.#store = store
    this.#logger = logger
    this.expected = new ExpectedListens(store)
  }

  /** true once `drain()` has begun, so that no stream of a new call is accepted */
  get sealed(): boolean {
    return this.#sealedAt < Infinity
  }

  /**
   * Resolves to true if a socket may open. During a drain without handover, a socket of a call that began
   * before the drain may open until the drain's time is over, since there may be no other instance to take
   * the socket.
   */
  async takes(token: SocketToken | undefined): Promise<boolean> {
    if (!this.sealed) return true
    if (token === undefined || this.#handingOver || this.#ending) return false
    const callSid = callSidOf(token.listenId)
    const call = callSid === undefined ? undefined : await this.#store.get(callSid)
    const beganAt = call === undefined ? token.issuedAt : Date.parse(call.createdAt)
    // A time that lies ahead is of another clock, or of this clock before it was set back, and tells nothing.
    return beganAt <= this.#sealedAt || beganAt > wallClock()
  }

  /** true if other instances continue the listens that this instance refuses */
  get handingOver(): boolean {
    return this.#handingOver
  }

  /** Number of audio sockets so far that ws read, not the fast reader. */
  get readByWs(): number {
    return this.#readByWs
  }

  get size(): number {
    return this.#listens.size
  }

  /**
   * Counts a socket that is allowed to open. Returns a function that ends the count. If `max` sockets are
   * open or opening, counts nothing and returns undefined.
   */
  reserve(max: number): (() => void) | undefined {
    if (this.#listens.size + this.#opening >= max) return undefined
    this.#opening++
    return () => {
      this.#opening--
    }
  }

  add(listen: LiveListen): void {
    this.#listens.add(listen)
    const { slowReason } = listen.live
    if (slowReason !== undefined) this.#countReadByWs(slowReason)
    listen.over.finally(() => this.#listens.delete(listen))
    // This socket was allowed before the drain began, but has opened only now, during the drain.
    if (this.#handingOver) this.#handOverLate(listen)
    else if (this.#ending) listen.stop()
  }

  /** Hands over the listens with these ids that this instance holds, in the order of `ids`. Returns these listens. */
  handOver(ids: readonly string[]): LiveListen[] {
    const all = Array.from(this.#listens)
    const handed = ids.flatMap((id) => all.filter(({ live }) => live.listen?.id === id))
    for (const listen of handed) listen.handOver()
    return handed
  }

  /** Reads the listen's socket to its end without delay, since the actionHook waits for the end. */
  readToEnd(listenId: string): void {
    for (const { live } of this.#listens) {
      if (live.listen?.id === listenId) live.readToEnd()
    }
  }

  /**
   * Refuses streams of new calls; with `handover` refuses all streams, and hands over all live streams that
   * can be handed over. Waits `timeoutMs` for the other streams to end by themselves, then ends them, so that
   * jambonz calls their actionHooks. Resolves when all recordings are final and these hooks have arrived, at
   * any instance.
   */
  async drain(options: DrainOptions): Promise<void> {
    const { timeoutMs, handover, hookPatience } = options
    this.#sealedAt = Math.min(this.#sealedAt, wallClock())
    this.#handingOver ||= handover
    const handed = new Set<LiveListen>()
    if (handover) await this.#handOver(handed)
    if (timeoutMs > 0) {
      await (this.#handingOver ? this.#handOverRest(timeoutMs, handed) : this.#lastCalls(options))
    }
    this.#ending = true
    this.expected.clear()
    const ended = Array.from(this.#listens)
    for (const listen of ended) listen.stop()
    await this.#allOver()
    if (hookPatience > 0) {
      await Promise.all([...handed, ...ended].map((listen) => listen.hooked(hookPatience)))
    }
  }

  /**
   * Resolves when no stream is live, no socket is expected, and the hooks of ended streams are answered, as
   * their answers may ask for further listens. Resolves after `timeoutMs` at the latest.
   */
  async #lastCalls({ timeoutMs, hookPatience, answered }: DrainOptions): Promise<void> {
    const deadline = performance.now() + timeoutMs
    const left = (): number => deadline - performance.now()
    while ((this.#listens.size > 0 || this.expected.size > 0) && left() > 0) {
      const hooked = Array.from(this.#listens, async (listen) => {
        await listen.over
        await listen.hooked(hookPatience)
      })
      await withinMs(left(), Promise.all([...hooked, this.expected.settled(left())]))
      await answered(Math.max(0, left()))
    }
  }

  /** Hands over all listens that can be handed over, and adds them to `handed`. */
  async #handOver(handed: Set<LiveListen>): Promise<void> {
    const pace = new Pace()
    for (const listen of Array.from(this.#listens)) {
      if (handed.has(listen) || listen.live.isOver) continue
      // All listens of a call are handed over together, since jambonz 0.9 ends all of them when one socket
      // closes.
      const together = this.handOver(await listen.goesOnWith())
      for (const each of together) handed.add(each)
      await pace.add(Promise.all(together.map(({ released }) => released)).then(() => {}))
    }
  }

  /**
   * Waits up to `ms` for the listens that could not be handed over, and hands over those that can be meanwhile, since
   * their call has begun to listen in the foreground. Adds these to `handed`.
   */
  async #handOverRest(ms: number, handed: Set<LiveListen>): Promise<void> {
    const deadline = performance.now() + ms
    for (let left = ms; left > 0 && this.#listens.size > 0; left = deadline - performance.now()) {
      await withinMs(Math.min(left, HAND_OVER_AGAIN), this.#allOver())
      await this.#handOver(handed)
    }
  }

  async #handOverLate(listen: LiveListen): Promise<void> {
    const handed = this.handOver(await listen.goesOnWith())
    if (handed.length === 0 && this.#ending) listen.stop()
  }

  #countReadByWs(reason: SlowReason): void {
    if (++this.#readByWs > 1) return
    if (reason === 'off') {
      this.#logger.info('limits.fastReader is false: ws reads the audio sockets, at more CPU per call')
      return
    }
    this.#logger.warn(
      { reason, node: process.version },
      `the fast reader does not know this version of ${MISFITS[reason]}: ws reads the audio sockets, at more CPU per call. Use a version that docs/performance.md names`
    )
  }

  /** Resolves when all listens are over, including those that begin meanwhile. */
  async #allOver(): Promise<void> {
    while (this.#listens.size > 0) await Promise.all(Array.from(this.#listens, ({ over }) => over))
  }
}

/** ms between two attempts to hand over the listens that could not be handed over before */
const HAND_OVER_AGAIN = 500
/** ms after the answer in which jambonz opens the socket of a listen, if no other verb runs before it for long */
const EXPECTED_WITHIN = 15_000
/** ms between two checks whether the call of an expected listen has ended */
const LOOK_AGAIN = 250
/** Number of answered listens after which a new Map begins. Only a flood has more within EXPECTED_WITHIN. */
const LOT = 4_096

/** The listens that this instance answered in the last minutes and whose sockets have not come to it. */
export class ExpectedListens {
  /**
   * when each listen was last answered, whole ms of performance.now(), by listen id. V8 would make an object of each
   * fraction, and there is one for each answer.
   */
  #latest = new Map<string, number>()
  /** the listens answered before those of `#latest`; forgotten together, which costs less than one by one */
  #earlier = new Map<string, number>()
  readonly #store: CallStore

  constructor(store: CallStore) {
    this.#store = store
  }

  get size(): number {
    const now = performance.now()
    for (const [listenId, answeredAt] of this.#all()) {
      if (now - answeredAt > EXPECTED_WITHIN) this.came(listenId)
    }
    return this.#earlier.size + this.#latest.size
  }

  add(listenId: string): void {
    if (this.#latest.size >= LOT) {
      this.#earlier = this.#latest
      this.#latest = new Map()
    }
    this.#latest.set(listenId, Math.floor(performance.now()))
  }

  /** Notes that the socket of a listen has come to this instance. */
  came(listenId: string): void {
    this.#earlier.delete(listenId)
    this.#latest.delete(listenId)
  }

  /** Forgets all listens, so that nobody waits for their sockets any longer. */
  clear(): void {
    this.#earlier.clear()
    this.#latest.clear()
  }

  /**
   * Resolves when each listen has its socket, on any instance, or when its call has ended. Resolves after
   * `ms` at the latest.
   */
  async settled(ms: number): Promise<void> {
    const deadline = performance.now() + ms
    await Promise.all(this.#all().map(([listenId]) => this.#settled(listenId, deadline)))
  }

  async #settled(listenId: string, deadline: number): Promise<void> {
    const callSid = callSidOf(listenId) ?? ''
    // A listen is `unknown` while its answer is being written to the store.
    const isSettled = (listen?: StoredListen): boolean => !['expected', 'unknown'].includes(stageOf(listen))
    for (;;) {
      const left = deadline - performance.now()
      const answeredAt = this.#latest.get(listenId) ?? this.#earlier.get(listenId)
      if (left <= 0 || answeredAt === undefined || performance.now() - answeredAt > EXPECTED_WITHIN) break
      const ms = Math.min(left, LOOK_AGAIN)
      const call = await this.#store.waitFor(callSid, listenId, isSettled, ms)
      if (call === undefined || call.endedAt !== undefined || isSettled(listenIn(call, listenId))) break
    }
    this.came(listenId)
  }

  #all(): Array<[listenId: string, answeredAt: number]> {
    return [...this.#earlier, ...this.#latest]
  }
}

const MAX_AT_ONCE = 5
/** An operation is slow, since it waits for others, if it takes SLOWER times the quickest one, and CHANCE ms more. */
const SLOWER = 1.5
const CHANCE = 3

/** Maximum ms for which an operation holds others back. The close of a dead connection takes 4 s. */
const HOLDS_BACK = 500

/**
 * A limit of concurrent operations, which adapts. It begins at one, and grows by one as long as no operation
 * becomes slower. It favours the speed of each operation over the throughput of all.
 */
export class Pace {
  readonly #running = new Set<Promise<void>>()
  #atOnce = 1
  #quickest = Infinity

  /**
   * Counts an operation as running until `done` resolves, or for HOLDS_BACK. `done` must not reject. Resolves when the
   * next operation may begin.
   */
  async add(done: Promise<void>): Promise<void> {
    const begun = performance.now()
    const running = withinMs(HOLDS_BACK, done).then(() => {
      this.#running.delete(running)
      this.#adapt(performance.now() - begun)
    })
    this.#running.add(running)
    while (this.#running.size >= this.#atOnce) await Promise.race(this.#running)
  }

  #adapt(took: number): void {
    this.#quickest = Math.min(this.#quickest, took)
    const isSlow = took > this.#quickest * SLOWER + CHANCE
    this.#atOnce = isSlow ? Math.max(1, this.#atOnce - 1) : Math.min(MAX_AT_ONCE, this.#atOnce + 1)
  }
}
