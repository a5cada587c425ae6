import type { Dirent } from 'node:fs'
import { rmdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import { entriesOf, hasCode, ifThere, lstat, pinned, remove } from './directory/files.js'
import type { Instances } from './directory/Instances.js'
import { INSTANCES_DIRECTORY, PART, withoutSegment } from './directory/names.js'
import { readSidecar } from './directory/sidecar.js'
import type { Retention as Limits } from './options.js'

const AUDIO = /\.(?:wav|flac|opus|mp3)(?:\.enc)?$/
const SIDECAR = /\.json$/

/** Time before which no recording of this plugin can have been made, ms since the epoch. */
const EARLIEST = Date.UTC(2025, 0, 1)
/** The files of a complete recording: its sidecar, and its audio unless it was sent elsewhere. */
interface Kept {
  base: string
  files: string[]
  bytes: number
  /** time of the last change, ms since the epoch */
  modified: number
}

/**
 * Deletes complete recordings that are too old or too many, the oldest first. Recordings in progress, and recordings
 * that are still to be sent, stay.
 */
export class Retention {
  readonly #directory: () => string
  readonly #limits: Limits
  readonly #instances: Instances
  readonly #logger: FastifyBaseLogger
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #closed = false

  constructor(directory: string, limits: Limits, instances: Instances, logger: FastifyBaseLogger) {
    this.#directory = pinned(directory)
    this.#limits = limits
    this.#instances = instances
    this.#logger = logger
  }

  /** Looks for recordings to delete now, and then every `interval` ms. */
  start(): void {
    const look = (): void => {
      this.#looking ??= this.#look()
        .catch((err: unknown) => this.#logger.error({ err }, 'old recordings could not be deleted'))
        .finally(() => {
          this.#looking = undefined
        })
    }
    this.#timer = setInterval(look, this.#limits.interval).unref()
    look()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#looking
  }

  async #look(): Promise<void> {
    const { maxAge, maxBytes } = this.#limits
    const kept: Kept[] = []
    for await (const recording of findKept(this.#directory())) kept.push(recording)
    // now() reads the clock that dated the files, since the clock of this host may differ.
    const now = kept.length > 0 ? await this.#instances.now() : 0
    kept.sort(oldestFirst)
    await this.#redate(kept, now)
    kept.sort(oldestFirst)
    let bytes = kept.reduce((total, recording) => total + recording.bytes, 0)
    const oldest = now - maxAge
    let deleted = 0
    let freed = 0
    const errors: unknown[] = []
    for (const recording of kept) {
      if (this.#closed || (recording.modified >= oldest && bytes <= maxBytes)) break
      try {
        if (!(await this.#delete(recording))) continue
        freed += recording.bytes
        deleted++
      } catch (err) {
        errors.push(err)
      }
      // A recording that can't be deleted does not count either, since newer ones would be deleted in its place.
      bytes -= recording.bytes
    }
    if (deleted > 0) this.#logger.info({ deleted, freed }, 'old recordings were deleted')
    if (errors.length > 0) {
      this.#logger.error(
        { err: errors[0], recordings: errors.length },
        'some old recordings could not be deleted: let the user of this process write to their directories'
      )
    }
  }

  /**
   * Dates recordings anew that have a date before EARLIEST, as those of a machine that learned the time only after its
   * start. Otherwise they would be deleted as old at once. `kept`: oldest first; `now`: ms on the clock that dates files.
   */
  async #redate(kept: readonly Kept[], now: number): Promise<void> {
    let redated = 0
    for (const recording of kept) {
      const { base, files, modified } = recording
      if (this.#closed || now < EARLIEST || modified >= EARLIEST) continue
      if ((await readSidecar(`${base}.json`)) === undefined) continue
      // Their order stays, since the oldest is deleted first.
      recording.modified = now + redated++
      const at = new Date(recording.modified)
      // If this fails, the next look tries again.
      await Promise.all(files.map((file) => utimes(file, at, at).catch(() => {})))
    }
    if (redated > 0) {
      this.#logger.warn(
        { recordings: redated },
        'the clock was wrong when these recordings were dated: they count as new. Check the clock of the machine'
      )
    }
  }

  /**
   * Deletes the files of a recording. Resolves to false if the recording is still to be sent, or if the files
   * are no recording.
   */
  async #delete({ base, files }: Kept): Promise<boolean> {
    const sidecar = await readSidecar(`${base}.json`)
    if (sidecar === undefined || sidecar.recording.state === 'spooled') return false
    // The sidecar is deleted last, since a later search finds the audio only through the sidecar.
    for (const file of files.sort((one, other) => Number(SIDECAR.test(one)) - Number(SIDECAR.test(other)))) {
      await remove(file)
    }
    await this.#removeEmpty(base)
    return true
  }

  /** Removes the directories of days, months and years that are empty. */
  async #removeEmpty(base: string): Promise<void> {
    for (
      let directory = join(base, '..');
      directory.length > join(this.#directory()).length;
      directory = join(directory, '..')
    ) {
      try {
        await rmdir(directory)
      } catch (error) {
        if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOENT', 'EACCES', 'EPERM')) return
        throw error
      }
    }
  }
}

function oldestFirst(one: Kept, other: Kept): number {
  return one.modified - other.modified
}

/** Finds complete recordings. Leaves out directories that this process may not read, such as `lost+found`. */
async function* findKept(directory: string): AsyncGenerator<Kept> {
  const entries = await entriesOf(directory, () => {})
  yield* keptAmong(directory, entries)
  for (const entry of entries) {
    if (entry.isDirectory() && entry.name !== INSTANCES_DIRECTORY) {
      yield* findKept(join(directory, entry.name))
    }
  }
}

async function* keptAmong(directory: string, entries: Dirent[]): AsyncGenerator<Kept> {
  const names = new Map<string, string[]>()
  const live = new Set<string>()
  for (const { name } of entries.filter((entry) => entry.isFile())) {
    const part = name.indexOf(PART)
    // All segments of a listen in progress stay, even complete segments.
    if (part > 0) live.add(withoutSegment(name.slice(0, part)))
    const base = name.replace(AUDIO, '').replace(SIDECAR, '')
    if (base !== name) names.set(base, [...(names.get(base) ?? []), name])
  }
  for (const [base, files] of names) {
    if (live.has(withoutSegment(base)) || !files.includes(`${base}.json`)) continue
    const kept = await measure(
      join(directory, base),
      files.map((name) => join(directory, name))
    )
    if (kept) yield kept
  }
}

async function measure(base: string, files: string[]): Promise<Kept | undefined> {
  const stats = await Promise.all(files.map((file) => ifThere(lstat(file))))
  const there = stats.filter((file) => file !== undefined)
  if (there.length === 0) return undefined
  return {
    base,
    files,
    bytes: there.reduce((total, file) => total + file.size, 0),
    modified: Math.max(...there.map((file) => file.mtimeMs))
  }
}
