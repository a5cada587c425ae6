import { randomBytes } from 'node:crypto'
import { write as writeCallback } from 'node:fs'
import { readdir, readFile, readlink, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { promisify } from 'node:util'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import {
  closeFile,
  ensureDirectory,
  hasCode,
  ifThere,
  lstat,
  NotARegularFile,
  openRegular,
  pinned,
  readSmall,
  remove,
  writeNew
} from './files.js'
import { INSTANCES_DIRECTORY, tokenOf } from './names.js'

const write = promisify(writeCallback)

/** ms between two heartbeats, and between two looks at the heartbeats of other instances */
const HEARTBEAT = 5_000
/**
 * Number of looks in a row without a new heartbeat, after which an instance on another machine or in another thread is
 * dead (30 s).
 */
export const MISSED_BEATS = 6
/**
 * A look that comes this many heartbeats after the look before does not count, since the process or machine
 * was suspended.
 */
const LATE = 2
/** Number of digits of the counter at the start of the file. Each heartbeat overwrites it. */
const COUNTER_DIGITS = 12
const MAX_FILE_BYTES = 4_096
/** States of a process that has ended but still has an entry in /proc. */
const ENDED = ['Z', 'X', 'x']

const InstanceSchema = Type.Object({
  pid: Type.Integer({ minimum: 1 }),
  processStart: Type.Optional(
    Type.String({
      description: 'when the process started, in ticks of its machine: a pid may be given again'
    })
  ),
  machine: Type.Optional(
    Type.String({
      description: 'one boot of one machine, one space of pids in it; absent where the system does not tell'
    })
  ),
  hostname: Type.String()
})
type Instance = Static<typeof InstanceSchema>

interface Watched {
  heartbeat: string
  missed: number
}

/**
 * The instances that record into one directory. Each has a file there with a counter, which the instance
 * increases at each heartbeat.
 *
 * A process of this machine is dead if its pid does not exist any more. An instance on another machine, or in another
 * thread of this process, is dead if its counter has not changed for MISSED_BEATS looks. No clock is used, since the
 * clocks of hosts and of file servers may be wrong or jump.
 */
export class Instances {
  readonly token: string
  readonly #parent: () => string
  readonly #interval: number
  readonly #watched = new Map<string, Watched>()
  #machine: Promise<string | undefined> | undefined
  #beats = 0
  #announced: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #lookedAt = 0
  #looking: Promise<void> | undefined
  #closed = false

  /** `interval`: ms between two heartbeats; all instances need the same interval */
  constructor(directory: string, instance: string, interval = HEARTBEAT) {
    this.token = tokenOf(instance, randomBytes(6).toString('hex'))
    this.#parent = pinned(directory)
    this.#interval = interval
  }

  /**
   * Writes the file of this instance, and resolves when the file exists. Without the file, other instances
   * would take this instance for dead, and would repair its recordings.
   */
  announce(): Promise<void> {
    this.#announced ??= this.#announce().catch((error: unknown) => {
      // The failed attempt is forgotten, so that the next recording tries again.
      this.#announced = undefined
      throw error
    })
    return this.#announced
  }

  /** Begins to look at the heartbeats of other instances. */
  async watch(): Promise<void> {
    this.#start()
    await this.#look()
  }

  /** Removes the file of this instance, which writes no more recordings. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#looking
    if (this.#announced) await remove(this.#pathOf(this.token))
  }

  /** Resolves to true if the instance with this token may still write recordings. */
  async isAlive(token: string): Promise<boolean> {
    if (token === this.token) return true
    const read = await this.#read(token)
    // The instance has closed, or another instance has removed its file.
    if (read === undefined) return false
    const runs = await this.#runsHere(read.instance)
    if (runs !== undefined) return runs
    return this.#missed(token, read.heartbeat) < MISSED_BEATS
  }

  /** Resolves to the tokens of the dead instances that have a file. */
  async findDead(): Promise<string[]> {
    const tokens = await this.#list()
    const alive = await Promise.all(tokens.map((token) => this.isAlive(token)))
    return tokens.filter((_, at) => !alive[at])
  }

  /** Removes the file of a dead instance. All its recordings must have been repaired. */
  async bury(token: string): Promise<void> {
    await remove(this.#pathOf(token))
    this.#watched.delete(token)
  }

  /**
   * Resolves to the time of the clock that dates the files of the directory, ms since the epoch. It may be the clock of
   * a file server.
   */
  async now(): Promise<number> {
    await this.announce()
    await this.#beat()
    return (await lstat(this.#pathOf(this.token))).mtimeMs
  }

  get #directory(): string {
    return join(this.#parent(), INSTANCES_DIRECTORY)
  }

  #pathOf(token: string): string {
    return join(this.#directory, basename(token))
  }

  async #list(): Promise<string[]> {
    return (await ifThere(readdir(this.#directory))) ?? []
  }

  async #announce(): Promise<void> {
    await ensureDirectory(this.#directory)
    const [start, machine] = await Promise.all([processStart(process.pid), this.#thisMachine()])
    const self: Instance = {
      pid: process.pid,
      ...(start !== undefined && { processStart: start }),
      ...(machine !== undefined && { machine }),
      hostname: hostname()
    }
    const path = this.#pathOf(this.token)
    try {
      await writeNew(path, `${this.#counter()}\n${JSON.stringify(self)}\n`)
    } catch (error) {
      // On a full disk the file is created without content. It is removed, so that the next try can create it.
      if (!hasCode(error, 'EEXIST')) await remove(path)
      throw error
    }
    this.#start()
  }

  #start(): void {
    if (this.#closed) return
    this.#timer ??= setInterval(() => {
      if (this.#announced) this.#beat().catch(() => {})
      this.#looking ??= this.#look()
        .catch(() => {})
        .finally(() => {
          this.#looking = undefined
        })
    }, this.#interval).unref()
  }

  #counter(): string {
    return String(++this.#beats).padStart(COUNTER_DIGITS, '0')
  }

  async #beat(): Promise<void> {
    const path = this.#pathOf(this.token)
    const announced = this.#announced
    // The file exists only after `announced` has resolved.
    await announced
    try {
      const fd = await openRegular(path, 'r+')
      try {
        await write(fd, this.#counter(), 0)
      } finally {
        await closeFile(fd)
      }
    } catch (error) {
      if (this.#closed) return
      if (hasCode(error, 'ENOENT')) {
        // The file was removed, but this instance is alive, so the file is written again. If several beats
        // find no file, only the first writes it.
        if (this.#announced === announced) this.#announced = undefined
        await this.announce()
      } else if (!(error instanceof NotARegularFile)) {
        // A full disk takes no more bytes, but it accepts a new date of the file.
        const now = new Date()
        await utimes(path, now, now)
      }
    }
  }

  /** Reads the heartbeats of the instances on other machines, and of those in this process. */
  async #look(): Promise<void> {
    const now = performance.now()
    const counts = now - this.#lookedAt < LATE * this.#interval
    this.#lookedAt = now
    const tokens = await this.#list()
    for (const token of this.#watched.keys()) if (!tokens.includes(token)) this.#watched.delete(token)
    await Promise.all(
      tokens.map(async (token) => {
        const read = token === this.token ? undefined : await this.#read(token)
        if (read === undefined || (await this.#runsHere(read.instance)) !== undefined) return
        const watched = this.#watched.get(token)
        if (watched?.heartbeat !== read.heartbeat) {
          this.#watched.set(token, { heartbeat: read.heartbeat, missed: 0 })
        } else if (counts) watched.missed++
      })
    )
  }

  /** Returns the number of looks in a row at which the instance's heartbeat had not changed. */
  #missed(token: string, heartbeat: string): number {
    const watched = this.#watched.get(token)
    return watched?.heartbeat === heartbeat ? watched.missed : 0
  }

  /** Reads an instance's file. Resolves to undefined if it does not exist any more. */
  async #read(token: string): Promise<{ heartbeat: string; instance: Instance | undefined } | undefined> {
    const path = this.#pathOf(token)
    const file = await ifThere(lstat(path))
    if (file === undefined) return undefined
    try {
      const text = await readSmall(path, MAX_FILE_BYTES)
      return {
        heartbeat: `${text.slice(0, COUNTER_DIGITS)} ${file.mtimeMs}`,
        instance: parse(text.slice(COUNTER_DIGITS))
      }
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      // The file has no valid content, or belongs to another user, or this process has too many files open.
      return { heartbeat: String(file.mtimeMs), instance: undefined }
    }
  }

  /**
   * Resolves to true if an instance's process runs on this machine, and to false if the process has ended.
   * Resolves to undefined if the process belongs to another machine, if the system does not tell, or if it is this
   * process: the instance may be in a worker thread, which may have ended alone.
   */
  async #runsHere(instance: Instance | undefined): Promise<boolean | undefined> {
    const machine = await this.#thisMachine()
    if (instance?.machine === undefined || instance.machine !== machine) return undefined
    try {
      process.kill(instance.pid, 0)
    } catch (error) {
      if (hasCode(error, 'ESRCH')) return false
    }
    const start = await processStart(instance.pid)
    // /proc may hide the processes of other users. Then it is not known whether the process runs.
    if (start === undefined || instance.processStart === undefined) return undefined
    if (start !== instance.processStart) return false
    return instance.pid === process.pid ? undefined : true
  }

  #thisMachine(): Promise<string | undefined> {
    this.#machine ??= machineId()
    return this.#machine
  }
}

function parse(text: string): Instance | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return Value.Check(InstanceSchema, value) ? value : undefined
  } catch {
    return undefined
  }
}

/**
 * Resolves to an id of the machine within which a pid means one process. On Linux the id is made of the id of
 * the boot, the pid namespace and the host's name, since machines that were resumed from one snapshot differ
 * only in their name.
 */
async function machineId(): Promise<string | undefined> {
  try {
    const [boot, pids] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readlink('/proc/self/ns/pid')
    ])
    return `${boot.trim()} ${pids} ${hostname()}`
  } catch {
    return undefined
  }
}

/** Resolves to the start time of a process; undefined if the system does not tell. */
async function processStart(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8')
    // These are the fields 3 to 22. Field 2, the command's name in brackets, may contain spaces.
    const [state = '', ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return ENDED.includes(state) ? 'ended' : fields[18]
  } catch {
    return undefined
  }
}
