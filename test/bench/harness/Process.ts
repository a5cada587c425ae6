import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Remote } from './rpc.js'

const HAS_TASKSET =
  process.platform === 'linux' &&
  availableParallelism() > 1 &&
  spawnSync('taskset', ['--version']).error === undefined

/** The server and the load generator each run on their own core. */
export const SERVER_CORE = 0
export const LOAD_CORE = 1
/** ms to wait until the process ends by itself */
const PATIENCE = 5_000

export function isPinned(): boolean {
  return HAS_TASKSET
}

/** A Node process of the benchmark, on its own core if `taskset` is installed. */
export class Process<M> {
  readonly remote: Remote<M>
  readonly #child: ChildProcess

  /** `argv`: arguments of node */
  constructor(argv: readonly string[], core: number) {
    const [command = '', ...args] = HAS_TASKSET
      ? ['taskset', '-c', String(core), process.execPath, ...argv]
      : [process.execPath, ...argv]
    this.#child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.remote = new Remote<M>(this.#child, argv.at(-1) ?? '')
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /**
   * Asks the process to end, so that it can write its profile. Kills the process if it does not end in time.
   */
  async stop(): Promise<void> {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
    if (child.connected) child.disconnect()
    await gone
    clearTimeout(timer)
  }
}
