import type { FastifyBaseLogger } from 'fastify'
import type { SlowReason } from '../audio/socket/frames/SocketReader.js'
import { withinMs } from '../model/time.js'
import type { LiveListen } from './LiveListen.js'

export interface DrainOptions {
  /** ms that live streams are given to end by themselves */
  timeoutMs: number
  /** true: other instances continue the streams */
  handover: boolean
  /** ms to wait for the actionHook of a stream that this instance ended */
  hookPatience: number
}

/** The names, in the log, of the parts whose version the fast reader may not know. Without it, audio costs more CPU. */
const MISFITS = { ws: 'ws', node: 'Node.js' } as const

/** The listens that have a socket on this instance. */
export class LiveListens {
  readonly #listens = new Set<LiveListen>()
  #opening = 0
  #sealed = false
  #handingOver = false
  // true: the time for streams to end by themselves is over.
  #ending = false
  #readByWs = 0
  readonly #logger: FastifyBaseLogger

  constructor(logger: FastifyBaseLogger) {
    this.#logger = logger
  }

  /** true once `drain()` has begun: no new stream is accepted */
  get sealed(): boolean {
    return this.#sealed
  }

  /** true if other instances continue the listens that this one refuses */
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
   * Counts a socket that is allowed to open. Returns a function that ends its count; returns undefined, and counts
   * nothing, if `max` sockets are open or opening.
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
    // The socket was allowed before the drain began, and opened after it.
    if (this.#handingOver) this.#handOverLate(listen)
    else if (this.#ending) listen.stop()
  }

  /** Hands over the listens with these ids that this instance holds, in the order of `ids`. Returns those. */
  handOver(ids: readonly string[]): LiveListen[] {
    const all = Array.from(this.#listens)
    const handed = ids.flatMap((id) => all.filter(({ live }) => live.listen?.id === id))
    for (const listen of handed) listen.handOver()
    return handed
  }

  /** Reads the listen's socket to its end without delay: its actionHook is waiting for that. */
  readToEnd(listenId: string): void {
    for (const { live } of this.#listens) {
      if (live.listen?.id === listenId) live.readToEnd()
    }
  }

  /**
   * Accepts no new streams. If `handover` is true, hands over all streams that can be. Waits `timeoutMs` for the others
   * to end by themselves, then ends them so that jambonz calls their actionHooks. Resolves when all recordings are
   * final and those hooks have arrived, at any instance.
   */
  async drain({ timeoutMs, handover, hookPatience }: DrainOptions): Promise<void> {
    this.#sealed = true
    this.#handingOver ||= handover
    const handed = handover ? await this.#handOver() : []
    if (timeoutMs > 0) await withinMs(timeoutMs, this.#allOver())
    this.#ending = true
    const ended = Array.from(this.#listens)
    for (const listen of ended) listen.stop()
    await this.#allOver()
    if (hookPatience > 0) {
      await Promise.all([...handed, ...ended].map((listen) => listen.hooked(hookPatience)))
    }
  }

  async #handOver(): Promise<LiveListen[]> {
    const pace = new Pace()
    const handed = new Set<LiveListen>()
    for (const listen of Array.from(this.#listens)) {
      if (handed.has(listen)) continue
      // All listens of a call are handed over together: on jambonz 0.9 the end of one ends them all.
      const together = this.handOver(await listen.goesOnWith())
      for (const each of together) handed.add(each)
      await pace.add(Promise.all(together.map(({ released }) => released)).then(() => {}))
    }
    return Array.from(handed)
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

const MAX_AT_ONCE = 5
/** An operation is slow if it takes this many times the quickest one, plus CHANCE ms: it waits for others. */
const SLOWER = 1.5
const CHANCE = 3

/**
 * A limit of concurrent operations that adapts: it begins at one, and grows by one as long as no operation becomes
 * slower. It favours the speed of each operation over the throughput of all.
 */
export class Pace {
  readonly #running = new Set<Promise<void>>()
  #atOnce = 1
  #quickest = Infinity

  /** Counts an operation until `done` resolves, which never rejects. Resolves when the next operation may begin. */
  async add(done: Promise<void>): Promise<void> {
    const begun = performance.now()
    const running = done.then(() => {
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
