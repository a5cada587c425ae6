import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

/** ms between two probes */
const INTERVAL = 100

/**
 * How long this process waits on its machine for what takes no time on an idle one: its turn, and a new folder with a
 * synced file. Tests whose bounds are times add it to them: a busy machine is no fault of what they test.
 */
export class Lateness {
  #worst = 0
  #begun = performance.now()
  #closed = false
  readonly #tell: (worst: number) => void

  /** `folder`: is made, on the disk that matters. `tell`: of a new worst, ms. */
  constructor(folder: string, tell: (worst: number) => void = () => {}) {
    this.#tell = tell
    this.#run(folder).catch(() => {})
  }

  /** the longest wait, ms, the present probe included */
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
