import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import type { AudioStream } from '../audio/index.js'
import type { Jambonz } from '../Jambonz.js'
import { isCurrent, monitored } from './messages.js'
import { Meter } from './Meter.js'
import { Page } from './Page.js'

/** ms between two messages with levels, and how many times that while nothing streams */
const TICK = 50
const IDLE = 20
/** ms between two looks at the store, where calls of other instances change without telling us, and for each ms that a look takes */
const POLL = 200
const POLL_PER_MS = 9

/** Sends the calls, and the levels of this instance's streams, to pages. Does nothing while there is no page. */
export class Feed {
  readonly #jambonz: Jambonz
  readonly #logger: FastifyBaseLogger
  readonly #pages = new Set<Page>()
  readonly #meters = new Map<string, Meter>()
  /** each call as JSON, as last read, by callSid */
  readonly #calls = new Map<string, string>()
  /** the rest of a state message; empty until the first look */
  #head = ''
  #timer?: NodeJS.Timeout
  #ticks = 0
  /** time of the next look at the store: `performance.now()` */
  #nextLook = 0

  constructor(jambonz: Jambonz, logger: FastifyBaseLogger) {
    this.#jambonz = jambonz
    this.#logger = logger
  }

  /** Measures a stream whenever a page wants its levels, until it ends. */
  watch(stream: AudioStream): void {
    const { id } = stream.listen
    const meter = new Meter(stream)
    this.#meters.set(id, meter)
    meter.run(this.#isWatched(id))
    stream.done.finally(() => this.#meters.delete(id))
  }

  /** Keeps a page informed until its socket closes. */
  add(socket: WebSocket): void {
    const page = new Page(socket, { onWatch: () => this.#runMeters(), onClose: () => this.#remove(page) })
    for (const callSid of this.#calls.keys()) page.changed(callSid)
    this.#pages.add(page)
    this.#runMeters()
    if (this.#timer === undefined) this.#timer = setInterval(() => this.#tick(), TICK)
    else if (this.#head !== '') page.tellState(this.#head, this.#calls)
  }

  #remove(page: Page): void {
    this.#pages.delete(page)
    this.#runMeters()
    if (this.#pages.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#nextLook = 0
    this.#head = ''
    this.#calls.clear()
  }

  #isWatched(listenId: string): boolean {
    for (const page of this.#pages) if (page.watches(listenId)) return true
    return false
  }

  #runMeters(): void {
    for (const [id, meter] of this.#meters) meter.run(this.#isWatched(id))
  }

  #tick(): void {
    const levels = new Map(Array.from(this.#meters, ([id, meter]) => [id, meter.isRunning && meter.read()]))
    const now = Date.now()
    const isSignOfLife = this.#ticks++ % IDLE === 0
    for (const page of this.#pages) {
      page.tellLevels(levels, now, isSignOfLife)
      if (this.#head !== '') page.tellState(this.#head, this.#calls)
    }
    if (performance.now() >= this.#nextLook) {
      this.#look().catch((err: unknown) => this.#logger.warn({ err }, 'the monitor could not read the calls'))
    }
  }

  /** Reads the calls, and notes for each page which have changed. */
  async #look(): Promise<void> {
    const { calls, instance, draining } = this.#jambonz
    const began = performance.now()
    this.#nextLook = Infinity
    try {
      const current = (await calls.list()).map(monitored).filter(isCurrent)
      // The last page has left meanwhile.
      if (this.#timer === undefined) return
      const gone = new Set(this.#calls.keys())
      for (const call of current) {
        gone.delete(call.callSid)
        this.#note(call.callSid, JSON.stringify(call))
      }
      for (const callSid of gone) this.#note(callSid, undefined)
      this.#head = JSON.stringify({ type: 'state', instance, draining, store: calls.health() }).slice(0, -1)
    } finally {
      this.#nextLook = performance.now() + Math.max(POLL, POLL_PER_MS * (performance.now() - began))
    }
  }

  #note(callSid: string, text: string | undefined): void {
    if (this.#calls.get(callSid) === text) return
    if (text === undefined) this.#calls.delete(callSid)
    else this.#calls.set(callSid, text)
    for (const page of this.#pages) page.changed(callSid)
  }
}
