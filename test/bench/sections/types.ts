import type { Bench } from '../harness/Bench.js'
import type { Remote } from '../harness/rpc.js'
import type { LoadMethods } from '../load/main.js'

export interface Context {
  bench: Bench
  load: Remote<LoadMethods>
  /** fewer runs and calls, for a quick look */
  quick: boolean
  /** undefined where there is no redis-server */
  redisPort: number | undefined
  /** runs during the measurement */
  log: (line: string) => void
}

/** A section of the benchmark: it measures and returns Markdown. */
export interface Section {
  title: string
  /** part of `--quick` */
  quick?: boolean
  run: (context: Context) => Promise<string>
}
