import { monitorEventLoopDelay } from 'node:perf_hooks'

/** resolution in ms at which the event loop's delay is measured */
const RESOLUTION = 10

export interface Usage {
  /** µs of CPU that all threads have used since the process started */
  cpu: number
  /** µs of `cpu` that the kernel used */
  system: number
  /** time at which these values were read, in ms of performance.now() */
  at: number
  /** bytes of memory: of the process (`rss`), and of the JavaScript heap (`heap`) */
  rss: number
  heap: number
  heapTotal: number
  /** bytes of memory outside of the JavaScript heap that objects use, including buffers */
  external: number
  /** delay of the event loop in ms since the last `resetDelay` (99th percentile) */
  delayP99: number
}

const delay = monitorEventLoopDelay({ resolution: RESOLUTION })

export function resetDelay(): void {
  delay.enable()
  delay.reset()
}

export function usage(): Usage {
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage()
  return {
    cpu: user + system,
    system,
    at: performance.now(),
    rss,
    heap: heapUsed,
    heapTotal,
    external,
    delayP99: Math.max(0, delay.percentile(99) / 1e6 - RESOLUTION)
  }
}

/** Returns the usage of several processes together: the sums of all values, but the maximum of the delays. */
export function sumOf(usages: readonly Usage[]): Usage {
  return usages.reduce((sum, { cpu, system, rss, heap, heapTotal, external, delayP99 }) => ({
    cpu: sum.cpu + cpu,
    system: sum.system + system,
    at: sum.at,
    rss: sum.rss + rss,
    heap: sum.heap + heap,
    heapTotal: sum.heapTotal + heapTotal,
    external: sum.external + external,
    delayP99: Math.max(sum.delayP99, delayP99)
  }))
}
