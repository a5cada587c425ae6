import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Listen } from '../../lib/model/schema.js'
import type { ChaosOrder, ChaosReport } from './chaosInstance.js'
import type { DelayFigures } from './OwnDelay.js'
import { withinMs } from '../../lib/model/time.js'

/** ms that an instance may take to drain (DRAIN_PATIENCE), and to send its figures (FIGURES_PATIENCE) */
const DRAIN_PATIENCE = 60_000
const FIGURES_PATIENCE = 60_000

interface Instance {
  process: ChildProcess
  port: number
  /** true: the instance was sent SIGTERM or SIGKILL */
  ending: boolean
}

/** Runs the instances of the chaos run and collects their messages. */
export class ChaosInstances {
  /** instances that ended unexpectedly, one line each */
  readonly died: string[] = []
  readonly unhandled: string[] = []
  readonly warnings: string[] = []
  /** instances that did not end after a signal or did not answer, one line each */
  readonly hung: string[] = []
  readonly figures: DelayFigures[] = []
  /** the listen with which each call's last hook handler ran, by callSid */
  readonly hooks = new Map<string, Listen | undefined>()
  readonly ends = new Map<string, Listen | undefined>()
  readonly failed = new Set<string>()
  /** times at which an instance was sent a signal, in ms of performance.now() */
  readonly endedAt: number[] = []
  killed = 0
  drained = 0
  #instances: Instance[] = []
  readonly #balancer: ChildProcess
  readonly #args: readonly string[]

  constructor(balancer: ChildProcess, args: readonly string[]) {
    this.#balancer = balancer
    this.#args = args
  }

  /** Starts an instance. Resolves when the load balancer routes requests to it. */
  async add(): Promise<void> {
    const child = start('chaosInstance', ...this.#args)
    const instance: Instance = { process: child, port: 0, ending: false }
    this.#instances.push(instance)
    child.on('message', (report: ChaosReport) => this.#told(report))
    child.once('exit', (code, signal) => {
      this.#instances = this.#instances.filter((each) => each !== instance)
      if (!instance.ending) this.died.push(`pid ${child.pid} ended with ${code ?? signal}`)
      this.#tellBalancer()
    })
    const ended = once(child, 'exit').then(() => undefined)
    const listening = (await Promise.race([once(child, 'message'), ended])) as
      [Extract<ChaosReport, { what: 'listening' }>] | undefined
    if (listening === undefined) return
    instance.port = listening[0].port
    this.#tellBalancer()
  }

  /**
   * Starts another instance, then ends the one at index `at`. SIGKILL ends it at once; on SIGTERM it hands
   * its listens over first.
   */
  async replace(at: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    await this.add()
    const instance = this.#instances[at % (this.#instances.length - 1)]
    if (instance === undefined || instance.ending) return
    instance.ending = true
    this.endedAt.push(performance.now())
    const gone = once(instance.process, 'exit')
    instance.process.kill(signal)
    if (signal === 'SIGKILL') this.killed++
    else this.drained++
    if (await withinMs(DRAIN_PATIENCE, gone)) return
    this.hung.push(`pid ${instance.process.pid} did not end on ${signal}`)
    instance.process.kill('SIGKILL')
  }

  jumpClock(at: number, ms: number): void {
    this.#order(this.#instances[at % this.#instances.length], { jump: ms })
  }

  /** Asks each running instance for its figures. If an instance does not answer, its event loop hangs. */
  async askFigures(): Promise<void> {
    await Promise.all(
      this.#instances.map(async (instance) => {
        const answered = new Promise<true>((resolve) => {
          instance.process.on('message', ({ what }: ChaosReport) => {
            if (what === 'figures') resolve(true)
          })
        })
        this.#order(instance, 'figures')
        if (!(await withinMs(FIGURES_PATIENCE, answered))) {
          this.hung.push(`pid ${instance.process.pid} does not answer`)
        }
      })
    )
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#instances.map(async (instance) => {
        instance.ending = true
        const gone = once(instance.process, 'exit')
        instance.process.kill('SIGKILL')
        await gone
      })
    )
    this.#balancer.kill('SIGKILL')
  }

  #told(report: ChaosReport): void {
    if (report.what === 'unhandled') this.unhandled.push(report.text)
    else if (report.what === 'warning') this.warnings.push(report.text)
    else if (report.what === 'figures') this.figures.push(report)
    else if (report.what === 'hook') this.hooks.set(report.callSid, report.listen)
    else if (report.what === 'listenEnded') this.ends.set(report.callSid, report.listen)
    else if (report.what === 'recordingFailed') this.failed.add(report.callSid)
  }

  #order(instance: Instance | undefined, order: ChaosOrder): void {
    // An instance that was just killed has no channel, so a message to it would be an error.
    if (instance?.process.connected) instance.process.send(order, () => {})
  }

  #tellBalancer(): void {
    const ports = this.#instances.map(({ port }) => port).filter((port) => port !== 0)
    if (this.#balancer.connected) this.#balancer.send(ports)
  }
}

/** Starts a load balancer with `size` instances. `args`: arguments for the process of each instance. */
export async function startChaosInstances(
  size: number,
  ...args: string[]
): Promise<{ instances: ChaosInstances; url: string }> {
  const balancer = start('balancerProcess')
  const instances = new ChaosInstances(balancer, args)
  const [url] = (await once(balancer, 'message')) as [string]
  await Promise.all(Array.from({ length: size }, () => instances.add()))
  return { instances, url }
}

function start(script: string, ...args: string[]): ChildProcess {
  return spawn(
    process.execPath,
    [
      '--enable-source-maps',
      '--unhandled-rejections=strict',
      join(import.meta.dirname, `${script}.js`),
      ...args
    ],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }
  )
}
