import type { Clock } from '../clock.js'
import type { Report } from '../problems.js'
import type { Task } from '../verbs/task.js'

/** ms that jambonz needs to stop a background task, which is one command to the media server. */
const STOP_MS = 5

export interface BackgroundOptions {
  clock: Clock
  /** Notes a promise that no verb awaits, but the end of the call does. */
  track: (work: Promise<unknown>) => void
  report: Report
  /** True if jambonz can forget a task, as 0.9 does. */
  forgets: boolean
}

/**
 * The tasks that run in the background: the listen and the transcribe of config, and the account's recording
 * (feature-server lib/utils/background-task-manager.js).
 */
export class BackgroundTasks {
  readonly #options: BackgroundOptions
  readonly #tasks = new Map<string, Task>()
  readonly #forgotten = new Set<Task>()

  constructor(options: BackgroundOptions) {
    this.#options = options
  }

  /** Starts a task. Returns false if one of this kind runs already. */
  start(kind: string, task: Task): boolean {
    if (this.#tasks.has(kind)) return false
    this.#tasks.set(kind, task)
    this.#options.track(
      task.exec().finally(() => {
        if (this.#tasks.get(kind) === task) this.#tasks.delete(kind)
      })
    )
    return true
  }

  stop(kind: string): void {
    const task = this.#tasks.get(kind)
    if (task === undefined) return
    task.kill('done')
    this.#tasks.delete(kind)
    const { clock, forgets } = this.#options
    if (forgets) clock.at(clock.now() + STOP_MS, () => this.#forget(kind))
  }

  /** Ends all tasks, at the end of the call. */
  stopAll(): void {
    for (const task of [...this.#tasks.values(), ...this.#forgotten]) task.kill('done')
    this.#tasks.clear()
    this.#forgotten.clear()
  }

  // When a stopped task has completed, jambonz removes the task of this kind from its list, even if that is a later one
  // (_taskCompleted). The later task runs on, and no verb ends it.
  #forget(kind: string): void {
    const later = this.#tasks.get(kind)
    if (later === undefined) return
    this.#tasks.delete(kind)
    this.#forgotten.add(later)
    this.#options.report(
      'backgroundForgotten',
      `a background ${kind} was started just after another was stopped`
    )
  }
}
