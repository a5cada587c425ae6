import { monitorEventLoopDelay } from 'node:perf_hooks'

/** ms between two searches at the event loop */
const RESOLUTION = 10

export interface Usage {
  /** µs of all threads since the start */
  cpu: number
  /** the kernel's part of it */
  system: number
  /** ms of performance.now() */
  at: number
  /** bytes */
  rss: number
  heap: number
  heapTotal: number
  /** buffers included */
  external: number
  /** ms since the last `resetDelay` */
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

/** Sums the usage of several processes; the delay is the longest of any. */
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
