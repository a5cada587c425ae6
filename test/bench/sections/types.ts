import type { Bench } from '../harness/Bench.js'
import type { Remote } from '../harness/rpc.js'
import type { LoadMethods } from '../load/main.js'

export interface Context {
  bench: Bench
  load: Remote<LoadMethods>
  /** true: makes fewer runs and calls, for a quick look */
  quick: boolean
  /** port of a redis-server; undefined if none is installed */
  redisPort: number | undefined
  /** prints a line during the measurement */
  log: (line: string) => void
}

/** A section of the benchmark. `run()` measures, and resolves to the results as Markdown. */
export interface Section {
  title: string
  /** true: the section also runs with `--quick` */
  quick?: boolean
  run: (context: Context) => Promise<string>
}
