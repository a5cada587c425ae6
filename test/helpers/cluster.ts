import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Report } from './clusterInstance.js'
import { V8_OPTIONS } from './v8Options.js'

export interface Seen {
  instance: number
  /** time at which the report arrived, in ms of this process' performance.now() */
  at: number
  report: Exclude<Report, { what: 'listening' | 'late' }>
}

/** How a process ended. */
export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
}

/** Runs the instances of an application, each in its own process, behind a round-robin. */
export class Cluster {
  /** reports of the instances, in the order of arrival */
  readonly seen: Seen[] = []
  /** the longest time that an instance waited for its machine, in ms (see Lateness.ts) */
  lateMs = 0
  readonly #args: readonly string[]
  readonly #script: string
  readonly #balancer: ChildProcess
  // ports to which the load balancer routes
  readonly #ports: number[] = []
  readonly #instances: Array<{ process: ChildProcess; port: number }> = []

  constructor(balancer: ChildProcess, script: string, args: readonly string[]) {
    this.#balancer = balancer
    this.#script = script
    this.#args = args
  }

  /**
   * Starts an instance. Resolves to its number when the instance listens and the load balancer routes to it.
   */
  async add(...args: string[]): Promise<number> {
    const instance = await this.spare(...args)
    this.enter(instance)
    return instance
  }

  /**
   * Starts an instance to which the load balancer does not route yet. `args`: more arguments for this
   * instance.
   */
  async spare(...args: string[]): Promise<number> {
    const child = start(this.#script, ...this.#args, ...args)
    const instance = this.#instances.length
    this.#instances.push({ process: child, port: 0 })
    const listening = new Promise<number>((resolve, reject) => {
      child.on('message', (report: Report) => {
        if (report.what === 'listening') resolve(report.port)
        else if (report.what === 'late') this.lateMs = Math.max(this.lateMs, report.ms)
        else this.seen.push({ instance, at: performance.now(), report })
      })
      child.once('exit', (code, signal) => reject(new Error(`instance ${instance} ended: ${code ?? signal}`)))
    })
    const port = await listening
    this.#instances[instance] = { process: child, port }
    return instance
  }

  enter(instance: number): void {
    this.#ports.push(this.#instances[instance]!.port)
    this.#tellBalancer()
  }

  /** Makes the load balancer stop routing to the instance. */
  leave(instance: number): void {
    const at = this.#ports.indexOf(this.#instances[instance]!.port)
    if (at !== -1) this.#ports.splice(at, 1)
    this.#tellBalancer()
  }

  #tellBalancer(): void {
    if (this.#balancer.connected) this.#balancer.send(this.#ports)
  }

  /** numbers of the instances whose process runs */
  get living(): number[] {
    return [...this.#instances.keys()].filter((instance) => !this.#hasEnded(instance))
  }

  #hasEnded(instance: number): boolean {
    const { exitCode, signalCode } = this.#instances[instance]!.process
    return exitCode !== null || signalCode !== null
  }

  /**
   * Ends an instance. SIGKILL ends it at once, and the load balancer still routes to its port; SIGTERM drains
   * it. Resolves to its exit code and signal.
   */
  async end(instance: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<Ended> {
    const { process: child } = this.#instances[instance]!
    if (!this.#hasEnded(instance)) {
      const gone = once(child, 'exit')
      child.kill(signal)
      await gone
      this.leave(instance)
    }
    return { code: child.exitCode, signal: child.signalCode }
  }

  async close(): Promise<void> {
    await Promise.all(this.#instances.map((_, instance) => this.end(instance, 'SIGKILL')))
    this.#balancer.kill('SIGKILL')
  }

  /** Returns the reports of one kind, by callSid. `from`: index of the first report to look at. */
  of(what: Seen['report']['what'], from = 0): Map<string, Seen[]> {
    const calls = new Map<string, Seen[]>()
    for (const seen of this.seen.slice(from)) {
      if (seen.report.what !== what) continue
      calls.set(seen.report.callSid, [...(calls.get(seen.report.callSid) ?? []), seen])
    }
    return calls
  }
}

/**
 * Starts a cluster that ends at the end of the test. `size`: number of instances; `args`: arguments of each
 * instance.
 */
export async function startCluster(
  t: Test,
  size: number | { instances: number; script: string },
  ...args: string[]
): Promise<{ cluster: Cluster; url: string }> {
  const [instance, balancer] = ['clusterInstance', 'balancerProcess'].map((name) =>
    join(import.meta.dirname, `${name}.js`)
  )
  const child = start(balancer!)
  const { instances, script } = typeof size === 'number' ? { instances: size, script: instance! } : size
  const cluster = new Cluster(child, script, args)
  t.teardown(() => cluster.close())
  const [url] = (await once(child, 'message')) as [string]
  await Promise.all(Array.from({ length: instances }, () => cluster.add()))
  return { cluster, url }
}

function start(script: string, ...args: string[]): ChildProcess {
  return spawn(process.execPath, [...V8_OPTIONS, script, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc']
  })
}
