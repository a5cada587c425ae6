import { monitorEventLoopDelay } from 'node:perf_hooks'

/** resolution of the event loop's delay, in ms */
const RESOLUTION = 10

export interface Usage {
  /** µs of all threads since the process started */
  cpu: number
  /** the part of `cpu` that the kernel used */
  system: number
  /** time of this reading, in ms of performance.now() */
  at: number
  /** bytes of memory */
  rss: number
  heap: number
  heapTotal: number
  /** bytes, buffers included */
  external: number
  /** 99th percentile of the event loop's delay since the last `resetDelay`, in ms */
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

/** Returns the sums for several processes. The delay is the maximum. */
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
