import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import type { AudioStream } from '../audio/index.js'
import type { Jambonz } from '../Jambonz.js'
import { isCurrent, monitored, type MonitorMessage } from './messages.js'
import { Meter } from './Meter.js'

/** ms between two messages with levels, and how many times that while nothing streams */
const TICK = 50
const IDLE = 20
/** ms between two looks at the store, where calls of other instances change without telling us, and for each ms that a look takes */
const POLL = 200
const POLL_PER_MS = 9
/** bytes that wait for a page on a slow line: beyond the first it gets no levels, beyond the second it is cut off, and comes back */
const SLOW = 65_536
const STUCK = 1_048_576

/** Tells pages of the calls and of the levels of this instance's streams. At rest while there is no page. */
export class Feed {
  readonly #jambonz: Jambonz
  readonly #logger: FastifyBaseLogger
  readonly #pages = new Set<WebSocket>()
  readonly #meters = new Map<string, Meter>()
  #timer?: NodeJS.Timeout
  #ticks = 0
  #state = ''
  /** when the store is looked at again: `performance.now()` */
  #nextLook = 0

  constructor(jambonz: Jambonz, logger: FastifyBaseLogger) {
    this.#jambonz = jambonz
    this.#logger = logger
  }

  watch(stream: AudioStream): void {
    const { id } = stream.listen
    const meter = new Meter(stream)
    this.#meters.set(id, meter)
    meter.run(this.#timer !== undefined)
    stream.done.finally(() => this.#meters.delete(id))
  }

  add(page: WebSocket): void {
    this.#pages.add(page)
    page.on('error', () => page.terminate())
    page.on('close', () => {
      this.#pages.delete(page)
      if (this.#pages.size === 0) this.#stop()
    })
    if (this.#timer === undefined) this.#start()
    else if (this.#state !== '') page.send(this.#state)
  }

  #start(): void {
    this.#state = ''
    this.#timer = setInterval(() => this.#tick(), TICK)
    for (const meter of this.#meters.values()) meter.run(true)
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const meter of this.#meters.values()) meter.run(false)
  }

  #tick(): void {
    if (this.#meters.size > 0 || this.#ticks++ % IDLE === 0) {
      const streams = Object.fromEntries(Array.from(this.#meters, ([id, meter]) => [id, meter.read()]))
      this.#tell(asText({ type: 'levels', now: Date.now(), streams }), SLOW)
    }
    if (performance.now() >= this.#nextLook) {
      this.#look().catch((err: unknown) => this.#logger.warn({ err }, 'the monitor could not read the calls'))
    }
  }

  async #look(): Promise<void> {
    const { calls, instance, draining } = this.#jambonz
    const began = performance.now()
    this.#nextLook = Infinity
    const list = await calls.list().finally(() => {
      this.#nextLook = performance.now() + Math.max(POLL, POLL_PER_MS * (performance.now() - began))
    })
    const state = asText({
      type: 'state',
      instance,
      draining,
      store: calls.health(),
      calls: list.map(monitored).filter(isCurrent)
    })
    if (state !== this.#state) this.#tell(state, STUCK)
    this.#state = state
  }

  #tell(message: string, mostWaiting: number): void {
    for (const page of this.#pages) {
      if (page.bufferedAmount > STUCK) page.terminate()
      else if (page.bufferedAmount <= mostWaiting) page.send(message)
    }
  }
}

function asText(message: MonitorMessage): string {
  return JSON.stringify(message)
}
