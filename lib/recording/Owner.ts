import { randomBytes } from 'node:crypto'
import { readdir, readFile, readlink, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { ensureDirectory, FILE_MODE, hasCode, ifThere } from './paths.js'
import { cleanId } from './names.js'

/** Below the directory of the recordings: one file for each instance that records there. */
export const OWNERS_DIRECTORY = '.instances'
/** Of an instance's name in its token, which is a part of file names. */
const MAX_NAME = 20
const HEARTBEAT = 5_000
/** An instance on another machine whose heartbeat is older than this is dead. */
export const STALE_AFTER = 30_000

interface OwnerFile {
  pid: number
  /** when the process started, in ticks of its machine: a pid may be given again */
  processStart: string | undefined
  /** one boot of one machine, one space of pids in it; undefined where the system does not tell */
  machine: string | undefined
  hostname: string
}

/**
 * Who writes the `.part` files of a directory that several instances may share. A process of the same machine
 * that is gone is known to be dead at once; of others (another host, another container) the heartbeat tells,
 * after STALE_AFTER.
 */
export class Owner {
  readonly token: string
  readonly #directory: string
  #announced: Promise<void> | undefined
  #heartbeat: NodeJS.Timeout | undefined

  constructor(directory: string, instance: string) {
    this.token = `${cleanId(instance).slice(0, MAX_NAME)}-${randomBytes(6).toString('hex')}`
    this.#directory = join(directory, OWNERS_DIRECTORY)
  }

  get #path(): string {
    return join(this.#directory, `${this.token}.json`)
  }

  /** Before the first file of ours is there, so that nobody ever takes it for a dead instance's. */
  announce(): Promise<void> {
    this.#announced ??= this.#announce().catch((error: unknown) => {
      // the next recording tries again
      this.#announced = undefined
      throw error
    })
    return this.#announced
  }

  /** Nothing of ours is being written any more. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat)
    if (this.#announced) await rm(this.#path, { force: true })
  }

  /** The instance with this token may still be writing. */
  async isAlive(token: string): Promise<boolean> {
    if (token === this.token) return true
    const path = join(this.#directory, `${basename(token)}.json`)
    const [text, file] = await Promise.all([ifThere(readFile(path, 'utf8')), ifThere(stat(path))])
    if (text === undefined || file === undefined) return false
    const other = parse(text)
    const machine = await machineId()
    if (other !== undefined && machine !== undefined && other.machine === machine) return isRunning(other)
    return (await this.#now()) - file.mtimeMs < STALE_AFTER
  }

  /** Tokens of the instances that have left their file and are dead. */
  async findDead(): Promise<string[]> {
    const files = (await ifThere(readdir(this.#directory))) ?? []
    const tokens = files.map((file) => file.replace(/\.json$/, ''))
    const alive = await Promise.all(tokens.map((token) => this.isAlive(token)))
    return tokens.filter((_, at) => !alive[at])
  }

  /** Nothing of a dead instance is left to repair. */
  async bury(token: string): Promise<void> {
    await rm(join(this.#directory, `${token}.json`), { force: true })
  }

  async #announce(): Promise<void> {
    await ensureDirectory(this.#directory)
    const self: OwnerFile = {
      pid: process.pid,
      processStart: await processStart(process.pid),
      machine: await machineId(),
      hostname: hostname()
    }
    await writeFile(this.#path, JSON.stringify(self), { mode: FILE_MODE })
    this.#heartbeat ??= setInterval(() => {
      this.#beat().catch(() => {})
    }, HEARTBEAT).unref()
  }

  async #beat(): Promise<void> {
    const now = new Date()
    if (await ifThere(utimes(this.#path, now, now).then(() => true))) return
    // somebody cleaned up: we are still alive
    this.#announced = undefined
    await this.announce()
  }

  /** The file server's clock, by which it dates heartbeats, may not be ours. */
  async #now(): Promise<number> {
    await this.announce()
    await this.#beat()
    return (await stat(this.#path)).mtimeMs
  }
}

function parse(text: string): OwnerFile | undefined {
  try {
    return JSON.parse(text) as OwnerFile
  } catch {
    return undefined
  }
}

async function isRunning(owner: OwnerFile): Promise<boolean> {
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return false
  }
  return (await processStart(owner.pid)) === owner.processStart
}

/** Linux: a boot of the machine and the pid namespace, in which a pid means one process. */
async function machineId(): Promise<string | undefined> {
  try {
    const [boot, pids] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readlink('/proc/self/ns/pid')
    ])
    return `${boot.trim()} ${pids}`
  } catch {
    return undefined
  }
}

async function processStart(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8')
    // field 22; the second, the command's name in brackets, may contain spaces
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
