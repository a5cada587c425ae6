import type { Bench } from '../harness/Bench.js'
import type { Remote } from '../harness/rpc.js'
import type { LoadMethods } from '../load/main.js'

export interface Context {
  bench: Bench
  load: Remote<LoadMethods>
  /** less of everything, for a first look */
  quick: boolean
  /** undefined where there is no redis-server */
  redisPort: number | undefined
  /** runs during the measurement */
  log: (line: string) => void
}

/** A part of the benchmark: measures, and tells in Markdown. */
export interface Section {
  title: string
  /** part of `--quick` */
  quick?: boolean
  run: (context: Context) => Promise<string>
}
