import type { FastifyBaseLogger } from 'fastify'
import type { SlowReason } from '../audio/socket/frames/SocketReader.js'
import { withinMs } from '../model/withinMs.js'
import type { LiveListen } from './LiveListen.js'

export interface DrainOptions {
  /** ms that live streams are given to end by themselves */
  timeoutMs: number
  /** let other instances go on with the streams */
  handover: boolean
  /** ms that the actionHook of a stream we ended may take to arrive */
  hookPatience: number
}

/** The parts that may not be as the fast reader expects, which costs CPU, by the names in the log. */
const MISFITS = { ws: 'ws', node: 'Node.js' } as const

/** The listens that have a socket on this instance. */
export class LiveListens {
  readonly #listens = new Set<LiveListen>()
  #opening = 0
  #sealed = false
  #handingOver = false
  // The time for streams to end by themselves is over.
  #ending = false
  #readByWs = 0
  readonly #logger: FastifyBaseLogger

  constructor(logger: FastifyBaseLogger) {
    this.#logger = logger
  }

  /** True once `drain()` has begun: no new stream is accepted. */
  get sealed(): boolean {
    return this.#sealed
  }

  /** True if other instances continue the listens that this one refuses. */
  get handingOver(): boolean {
    return this.#handingOver
  }

  /** Audio sockets so far that the fast reader did not read. */
  get readByWs(): number {
    return this.#readByWs
  }

  get size(): number {
    return this.#listens.size
  }

  /**
   * Counts a socket from the moment its opening is allowed. Returns a function that uncounts it; undefined if `max`
   * sockets are open or being opened.
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
    // It was allowed before the drain began, and was upgraded since.
    if (this.#handingOver) this.#handOverLate(listen)
    else if (this.#ending) listen.stop()
  }

  /** Hands over those of the listens that this instance holds, in the order of `ids`. Returns them. */
  handOver(ids: readonly string[]): LiveListen[] {
    const all = Array.from(this.#listens)
    const handed = ids.flatMap((id) => all.filter(({ live }) => live.listen?.id === id))
    for (const listen of handed) listen.handOver()
    return handed
  }

  /** Reads the listen's socket at once, and up to its end: an actionHook waits for it. */
  readToEnd(listenId: string): void {
    for (const { live } of this.#listens) {
      if (live.listen?.id === listenId) live.readToEnd()
    }
  }

  /**
   * Accepts no new streams. Hands over those that it can, if `handover` is true. Gives the others `timeoutMs` to end by
   * themselves, then ends them so that jambonz calls their actionHooks. Resolves when every recording is final and the
   * hooks have come, to any instance.
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
      // All listens of a call go together: on jambonz 0.9 the end of one ends them all.
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

  /** Resolves when all listens are over, those that begin meanwhile included. */
  async #allOver(): Promise<void> {
    while (this.#listens.size > 0) await Promise.all(Array.from(this.#listens, ({ over }) => over))
  }
}

const MAX_AT_ONCE = 5
/** A turn is slow if it takes this many times the quickest one, plus CHANCE ms: it keeps others waiting. */
const SLOWER = 1.5
const CHANCE = 3

/**
 * A limit of concurrent operations that finds its own level: it begins at one, and grows by one as long as no operation
 * becomes slower. The speed of each operation comes first, the throughput of all second.
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
