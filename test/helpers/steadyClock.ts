import { createRequire, syncBuiltinESMExports } from 'node:module'
import { performance } from 'node:perf_hooks'
import { promisify } from 'node:util'
import { Clock } from '../../lib/store/redis/Instances.js'
import { Upkeep } from '../../lib/store/redis/Upkeep.js'

/**
 * Replaces the clock and the timers of this process by a clock that stands still while the process does. On a busy
 * machine a process waits for its turn, and in its tests audio would be late, deadlines would pass, and gaps would
 * appear. By this clock, a test process never waits for long: between two turns of the event loop, MAX_STEP ms pass
 * at most, or the CPU time of the process if that is more. So code that blocks the event loop still makes audio late. The
 * clock is for tests in which all parties of a call are in this process. Processes that it starts, and Redis, have the
 * clock of the machine.
 */

/** maximum ms for which the process waits between two turns of the event loop: more than a frame of audio */
const MAX_STEP = 25
/** ms between two turns that are noted */
const TICK = 5
/** ms by which Node.js may run a timer early, since it counts whole ms */
const EARLY = 1
const LONGEST = 2 ** 31 - 1

const realNow = performance.now.bind(performance)
const realSetTimeout = globalThis.setTimeout
const realClearTimeout = globalThis.clearTimeout
const realSetInterval = globalThis.setInterval
const RealDate = Date

interface Turn {
  /** ms by this clock */
  steady: number
  /** ms by the clock of the machine */
  real: number
  /** CPU time of the process */
  cpu: NodeJS.CpuUsage
}

/** the latest noted turn; undefined: the clock is not replaced */
let turn: Turn | undefined

function steadyNow(): number {
  if (turn === undefined) return realNow()
  const passed = realNow() - turn.real
  if (passed <= MAX_STEP) return turn.steady + passed
  const { user, system } = process.cpuUsage(turn.cpu)
  return turn.steady + Math.min(passed, Math.max(MAX_STEP, (user + system) / 1_000))
}

function noteTurn(steady = steadyNow()): void {
  turn = { steady, real: realNow(), cpu: process.cpuUsage() }
}

/** Blocks the event loop for `ms`, as a busy process does, but uses no CPU. */
export function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  if (turn !== undefined) noteTurn(turn.steady + ms)
}

type Callback = (...args: unknown[]) => void

/** A timer of this clock. It resembles a Timeout of Node.js. */
class SteadyTimer {
  readonly #run: () => void
  readonly #ms: number
  readonly #repeats: boolean
  #due = 0
  #isRef = true
  #real: NodeJS.Timeout | undefined

  constructor(callback: Callback, ms: unknown, args: unknown[], repeats: boolean) {
    const asked = Math.trunc(Number(ms))
    this.#ms = asked >= 1 && asked <= LONGEST ? asked : 1
    this.#repeats = repeats
    this.#run = () => Reflect.apply(callback, this, args)
    this.refresh()
  }

  refresh(): this {
    this.close()
    this.#due = steadyNow() + this.#ms
    this.#wait()
    return this
  }

  #wait(): void {
    this.#real = realSetTimeout(() => this.#look(), Math.max(1, this.#due - steadyNow()))
    if (!this.#isRef) this.#real.unref()
  }

  #look(): void {
    this.#real = undefined
    if (steadyNow() < this.#due - EARLY) return this.#wait()
    if (this.#repeats) this.refresh()
    this.#run()
  }

  close(): this {
    if (this.#real !== undefined) realClearTimeout(this.#real)
    this.#real = undefined
    return this
  }

  ref(): this {
    this.#isRef = true
    this.#real?.ref()
    return this
  }

  unref(): this {
    this.#isRef = false
    this.#real?.unref()
    return this
  }

  hasRef(): boolean {
    return this.#isRef
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function setSteady(repeats: boolean) {
  return (callback: Callback, ms?: unknown, ...args: unknown[]): SteadyTimer => {
    if (typeof callback !== 'function') throw new TypeError('the callback of a timer is no function')
    return new SteadyTimer(callback, ms, args, repeats)
  }
}

function clearSteady(timer: unknown): void {
  if (timer instanceof SteadyTimer) timer.close()
  else realClearTimeout(timer as NodeJS.Timeout)
}

/** Resolves to `value` after `ms`, as setTimeout() of node:timers/promises does. */
function delay(
  ms?: number,
  value?: unknown,
  { signal, ref = true }: { signal?: AbortSignal; ref?: boolean } = {}
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      timer.close()
      reject(
        Object.assign(new Error('The operation was aborted', { cause: signal?.reason }), {
          name: 'AbortError',
          code: 'ABORT_ERR'
        })
      )
    }
    const done = (): void => {
      signal?.removeEventListener('abort', abort)
      resolve(value)
    }
    const timer = new SteadyTimer(done, ms, [], false)
    if (!ref) timer.unref()
    if (signal?.aborted) abort()
    else signal?.addEventListener('abort', abort, { once: true })
  })
}

/**
 * Orders the writes of all instances in this process. Each instance estimates the clock of Redis, and the estimates differ
 * because Redis has the clock of the machine.
 */
function orderWrites(): void {
  let last = 0
  const { next } = Clock.prototype
  Clock.prototype.next = function () {
    last = Math.max(last + 1, next.call(this))
    return last
  }
}

/** Lets the heartbeats of instances follow the clock of the machine, since Redis decides by it which instances are dead. */
function beatInRealTime(): void {
  const { start } = Upkeep.prototype
  Upkeep.prototype.start = function () {
    const steady = globalThis.setInterval
    globalThis.setInterval = realSetInterval
    try {
      start.call(this)
    } finally {
      globalThis.setInterval = steady
    }
  }
}

/** Replaces the clock and the timers of this process, for as long as it runs. */
export function steadyClock(): void {
  orderWrites()
  beatInRealTime()
  noteTurn()
  realSetInterval(() => noteTurn(), TICK).unref()
  performance.now = steadyNow
  const begun = RealDate.now() - steadyNow()
  const dateNow = (): number => Math.floor(begun + steadyNow())
  globalThis.Date = class extends RealDate {
    constructor(...args: unknown[]) {
      if (args.length === 0) super(dateNow())
      else super(...(args as [number]))
    }

    static override now(): number {
      return dateNow()
    }
  } as DateConstructor
  const timers = {
    setTimeout: Object.defineProperty(setSteady(false), promisify.custom, { value: delay }),
    setInterval: setSteady(true),
    clearTimeout: clearSteady,
    clearInterval: clearSteady
  }
  Object.assign(globalThis, timers)
  const require = createRequire(import.meta.url)
  Object.assign(require('node:timers') as object, timers)
  ;(require('node:timers/promises') as { setTimeout: unknown }).setTimeout = delay
  syncBuiltinESMExports()
}
