import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

/** ms between two probes */
const INTERVAL = 100

/**
 * Measures how long this process waits for its machine: for its turn, and for a new folder with a synced file. Both
 * take no time on an idle machine. Tests add this time to their bounds, so that a busy machine does not fail them.
 */
export class Lateness {
  #worst = 0
  #begun = performance.now()
  #closed = false
  readonly #tell: (worst: number) => void

  /**
   * `folder`: is created; probes are written there, on the disk to measure. `tell`: called with each new maximum, in
   * ms.
   */
  constructor(folder: string, tell: (worst: number) => void = () => {}) {
    this.#tell = tell
    this.#run(folder).catch(() => {})
  }

  /** the longest wait in ms, including that of the running probe */
  get worst(): number {
    return Math.max(this.#worst, performance.now() - this.#begun - INTERVAL)
  }

  close(): void {
    this.#closed = true
  }

  async #run(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true })
    for (let at = 0; !this.#closed; at++) {
      this.#begun = performance.now()
      await new Promise((resolve) => setTimeout(resolve, INTERVAL).unref())
      await writeAndSync(join(folder, String(at)))
      if (this.worst <= this.#worst) continue
      this.#worst = this.worst
      this.#tell(this.#worst)
    }
  }
}

async function writeAndSync(folder: string): Promise<void> {
  await mkdir(folder)
  const file = await open(join(folder, 'probe'), 'wx')
  await file.write('probe')
  await file.sync()
  await file.close()
  await rename(join(folder, 'probe'), join(folder, 'done'))
  await rm(folder, { recursive: true })
}
