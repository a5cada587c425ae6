import { readFileSync } from 'node:fs'
import { createHistogram, performance } from 'node:perf_hooks'

/** ms between two probes */
const INTERVAL = 10
const MICROS = 1_000
const NANOS = 1_000_000

export interface DelayFigures {
  /** ms that the event loop was late because of the process' own work: 99th percentile, and maximum */
  p99: number
  max: number
  /** ms that the event loop was late for any reason, including waits for a core: the 99th percentile */
  p99OnMachine: number
}

/**
 * Measures how late the event loop of this process is because of its own work. It subtracts the time in which
 * the main thread was ready to run but waited for a core, because that time depends on the machine's load.
 * Linux counts this time.
 */
export class OwnDelay {
  readonly #own = createHistogram()
  readonly #all = createHistogram()

  constructor() {
    this.#probe()
  }

  get figures(): DelayFigures {
    return {
      p99: this.#own.percentile(99) / MICROS,
      max: this.#own.max / MICROS,
      p99OnMachine: this.#all.percentile(99) / MICROS
    }
  }

  #probe(): void {
    const begun = performance.now()
    const waited = waitedForCore()
    setTimeout(() => {
      const late = Math.max(0, performance.now() - begun - INTERVAL)
      record(this.#all, late)
      record(this.#own, late - (waitedForCore() - waited))
      this.#probe()
    }, INTERVAL).unref()
  }
}

function record(histogram: ReturnType<typeof createHistogram>, ms: number): void {
  histogram.record(Math.max(1, Math.round(ms * MICROS)))
}

/**
 * Returns the ms in which the main thread was ready to run but waited for a core; 0 if the system does not
 * report it.
 */
function waitedForCore(): number {
  try {
    const [, waited = '0'] = readFileSync('/proc/self/schedstat', 'utf8').split(' ')
    return Number(waited) / NANOS
  } catch {
    return 0
  }
}
