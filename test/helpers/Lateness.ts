import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

/** ms between two probes */
const INTERVAL = 100

/**
 * Measures how long a busy machine makes this process wait, for a timer and for a new folder with a synced
 * file. On an idle machine the wait is about 0. Tests add the wait to their time limits, so that a busy
 * machine does not fail them.
 */
export class Lateness {
  #worst = 0
  #begun = performance.now()
  #closed = false
  readonly #tell: (worst: number) => void

  /**
   * `folder`: the folder for the probes' files, created if missing; it must be on the disk to measure.
   * `tell`: called with each new longest wait, in ms.
   */
  constructor(folder: string, tell: (worst: number) => void = () => {}) {
    this.#tell = tell
    this.#run(folder).catch(() => {})
  }

  /** the longest wait so far in ms, including the wait of the probe that is running now */
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
