import { accessSync, constants, rmSync, writeFileSync, type Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { LimitedMap, thrownMessage } from '../../model/json.js'
import { ERR_OPTIONS } from '../../model/errors.js'
import type { Listen } from '../../model/schema.js'
import { audioExtension, finalExtension } from '../formats.js'
import type { ResolvedRecordingOptions } from '../options.js'
import {
  closeFile,
  ensureDirectory,
  ensureDirectorySync,
  entriesOf,
  FILE_MODE,
  hasCode,
  ifThere,
  isThere,
  MAY_FLUSH,
  openFile,
  pinned,
  remove,
  removeParts,
  writeNew
} from './files.js'
import {
  INSTANCES_DIRECTORY,
  kindOf,
  pathsOf,
  segmentOf,
  segmentSuffix,
  stemOf,
  type RecordingPaths
} from './names.js'
import { readPartSidecar, readSidecar, type PartNotes, type PartSidecar } from './sidecar.js'

const MAX_TRIES = 1_000
const MAX_SEGMENTS = 100
/** Number of directories whose file names are remembered, to compare new names with them without regard to case. */
const MAX_DIRECTORIES = 8
const MAX_NAMES = 20_000

/** A file name that belongs to a new recording. */
export interface Claim {
  paths: RecordingPaths
  /** number of the segment: 1, or more if the listen was recorded on an earlier socket (handover) */
  segment: number
  /** descriptor of the part file, which is open and empty */
  fd: number
}

/** The files of a recording that is not complete. */
export interface Part {
  /** path without extension */
  base: string
  /** extension of the audio file, if it exists */
  extension?: string
  /** path of the sidecar, if it exists */
  sidecar?: string
  /** token of the instance that records or repairs the recording; undefined if not known */
  owner?: string
  /**
   * path of a file of the recording that is no regular file, but a link or a pipe. Such a recording is not
   * repaired.
   */
  irregular?: string
}

/** A temporary file that an instance was writing. */
export interface Temporary {
  path: string
  owner: string
}

/**
 * The directory of the recordings. It gives each recording a unique name, also among several instances and on
 * file systems that ignore case, and it finds unfinished recordings. To claim a name, it creates the `.part`
 * file of the name, which the file system lets only one process do.
 */
export class RecordingDirectory {
  readonly #path: () => string
  readonly #extension: string
  readonly #finalExtension: string
  readonly #flushes: boolean
  readonly #token: string
  /** names that this process is writing, in lower case, and the ids of their listens */
  readonly #live = new Map<string, string>()
  readonly #names = new LimitedMap<string, Set<string>>(MAX_DIRECTORIES)

  /** `token`: the token of this instance, which owns the names that it claims */
  constructor(path: string, options: ResolvedRecordingOptions, token: string) {
    this.#path = pinned(path)
    this.#extension = audioExtension(options)
    this.#finalExtension = finalExtension(options)
    this.#flushes = options.fsync !== 'never'
    this.#token = token
  }

  get path(): string {
    return this.#path()
  }

  /**
   * Makes the directory and writes a test file into it. Throws FST_JAMBONZ_OPTIONS if this is impossible, or if files
   * are to be flushed, and can't be. Blocks the process, so it is for use at registration only.
   */
  checkWritable(): void {
    const directory = join(this.path, INSTANCES_DIRECTORY)
    const probe = join(directory, `.${this.#token}`)
    try {
      ensureDirectorySync(directory)
      accessSync(this.path, constants.R_OK | constants.W_OK | constants.X_OK)
      writeFileSync(probe, '', { flag: 'wx', mode: FILE_MODE })
      rmSync(probe)
    } catch (cause) {
      const reason = thrownMessage(cause)
      throw new ERR_OPTIONS(
        `recording.directory: "${this.path}" can't be written (${reason}). Choose another directory, or let the user of this process write there`,
        { cause }
      )
    }
    if (this.#flushes && !MAY_FLUSH) {
      throw new ERR_OPTIONS(
        'recording.fsync: the permission model of Node.js (--permission) lets no process flush a file. Leave out recording.fsync, or run Node.js without --permission'
      )
    }
  }

  /**
   * Returns the paths of a recording, from its path without extension. `extension`: the extension of its
   * audio. Default: the extension of new recordings.
   */
  pathsOf(base: string, extension = this.#extension): RecordingPaths {
    return pathsOf(base, extension, this.#token)
  }

  /** Returns the path of the compressed recording. */
  compressedPath({ base }: RecordingPaths): string {
    return base + this.#finalExtension
  }

  /**
   * Claims a name, and creates its files. `unique`: the name consists of unique lower-case ids, so names that differ
   * only in case need not be looked for. Rejects with the file system's error.
   */
  async claim(
    name: string,
    unique: boolean,
    listen: Listen,
    notes: Omit<PartNotes, 'segment'>
  ): Promise<Claim> {
    const next = segmentOf(listen)
    for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
      const base = join(this.path, attempt === 1 ? name : `${name}-${attempt}`)
      const claim = next === 1 ? await this.#try(base, 1, unique, listen, notes) : undefined
      if (claim !== undefined) return claim
      // The files of the listen's earlier sockets may be in the directory of another instance.
      if ((await this.#holds(base, listen)) || (next > 1 && !(await this.#isTaken(base)))) {
        return await this.#claimSegment(base, Math.max(next, 2), listen, notes)
      }
    }
    throw new Error(`${MAX_TRIES} recordings have the name ${name}`)
  }

  /** Claims another name, `<base>-2`, for a segment whose name another instance has taken over. */
  async claimBeside(
    { paths, segment }: Claim,
    listen: Listen,
    notes: Omit<PartNotes, 'segment'>
  ): Promise<Claim> {
    for (let attempt = 2; attempt <= MAX_TRIES; attempt++) {
      const claim = await this.#try(`${paths.base}-${attempt}`, segment, false, listen, notes)
      if (claim !== undefined) return claim
    }
    throw new Error(`${MAX_TRIES} recordings have the name ${paths.base}`)
  }

  release(claim: Claim): void {
    this.#live.delete(claim.paths.base.toLowerCase())
  }

  /**
   * Finds unfinished recordings, one directory at a time. It does not follow links to directories. `refused`: called for
   * each directory that this process may not read.
   */
  async *findParts(
    refused: (directory: string, err: unknown) => void,
    directory = this.path
  ): AsyncGenerator<{ parts: Part[]; temporary: Temporary[] }> {
    const entries = await entriesOf(directory, refused)
    yield {
      parts: partsAmong(directory, entries),
      temporary: entries.flatMap(({ name }) => {
        const file = kindOf(name)
        return file?.kind === 'temporary' ? [{ path: join(directory, name), owner: file.owner }] : []
      })
    }
    for (const entry of entries) {
      if (entry.isDirectory() && entry.name !== INSTANCES_DIRECTORY) {
        yield* this.findParts(refused, join(directory, entry.name))
      }
    }
  }

  async #claimSegment(
    base: string,
    from: number,
    listen: Listen,
    notes: Omit<PartNotes, 'segment'>
  ): Promise<Claim> {
    for (let segment = from; segment < from + MAX_SEGMENTS; segment++) {
      const claim = await this.#try(base + segmentSuffix(segment), segment, true, listen, notes)
      if (claim !== undefined) return claim
    }
    throw new Error(`there are ${MAX_SEGMENTS} segments of ${base}`)
  }

  async #try(
    base: string,
    segment: number,
    unique: boolean,
    listen: Listen,
    notes: Omit<PartNotes, 'segment'>
  ): Promise<Claim | undefined> {
    const key = base.toLowerCase()
    if (this.#live.has(key)) return undefined
    this.#live.set(key, listen.id)
    const paths = this.pathsOf(base)
    try {
      const fd =
        unique || (await this.#isNew(base))
          ? await this.#create(paths, { ...listen, recorder: { ...notes, segment } })
          : undefined
      if (fd !== undefined) return { paths, segment, fd }
    } catch (error) {
      this.#live.delete(key)
      throw error
    }
    this.#live.delete(key)
    return undefined
  }

  /**
   * Creates the sidecar, and then the audio file. Resolves to the descriptor of the audio file; undefined if the name
   * is taken.
   */
  async #create(paths: RecordingPaths, sidecar: PartSidecar): Promise<number | undefined> {
    if (!(await writePart(paths, sidecar))) return undefined
    let fd: number
    try {
      fd = await openFile(paths.part, 'wx+', FILE_MODE)
    } catch (error) {
      await remove(paths.partSidecar)
      if (hasCode(error, 'EEXIST')) return undefined
      throw error
    }
    if (!(await this.#isComplete(paths))) return fd
    await closeFile(fd)
    await removeParts(paths)
    return undefined
  }

  async #isTaken(base: string): Promise<boolean> {
    return (await this.#isComplete(this.pathsOf(base))) || (await findPart(base)) !== undefined
  }

  async #isComplete({ base, sidecar, final }: RecordingPaths): Promise<boolean> {
    const there = await Promise.all([...new Set([sidecar, final, base + this.#finalExtension])].map(isThere))
    return there.includes(true)
  }

  /** Resolves to true if the recording of this name is an earlier segment of the same listen. */
  async #holds(base: string, listen: Listen): Promise<boolean> {
    if (this.#live.get(base.toLowerCase()) === listen.id) return true
    const complete = await readSidecar(this.pathsOf(base).sidecar)
    if (complete) return complete.id === listen.id
    const part = await findPart(base)
    return part?.sidecar !== undefined && (await readPartSidecar(part.sidecar))?.id === listen.id
  }

  /** Resolves to true if no file in the directory of `base` has the same name in another case. */
  async #isNew(base: string): Promise<boolean> {
    const directory = dirname(base)
    const names = this.#names.get(directory) ?? (await this.#list(directory))
    const stem = basename(base).toLowerCase()
    if (names.has(stem)) return false
    if (names.size < MAX_NAMES) names.add(stem)
    return true
  }

  async #list(directory: string): Promise<Set<string>> {
    const files = (await ifThere(readdir(directory))) ?? []
    const names = new Set(files.slice(0, MAX_NAMES).map(stemOf))
    this.#names.set(directory, names)
    return names
  }
}

/** Finds the part with this path without extension. */
async function findPart(base: string): Promise<Part | undefined> {
  const entries = (await ifThere(readdir(dirname(base), { withFileTypes: true }))) ?? []
  return partsAmong(
    dirname(base),
    entries.filter(({ name }) => name.startsWith(basename(base)))
  ).find((part) => part.base === base)
}

function partsAmong(directory: string, entries: Dirent[]): Part[] {
  const parts = new Map<string, Part>()
  for (const entry of entries) {
    const file = kindOf(entry.name)
    if (file === undefined || file.kind === 'temporary' || entry.isDirectory()) continue
    const path = join(directory, entry.name)
    const part = parts.get(file.base) ?? { base: join(directory, file.base) }
    parts.set(file.base, part)
    if (!entry.isFile()) part.irregular = path
    if (file.kind === 'partAudio') part.extension = file.extension
    else Object.assign(part, { sidecar: path, owner: file.owner })
  }
  return [...parts.values()]
}

/** Writes a part's sidecar. Resolves to false if the name is taken. */
async function writePart(paths: RecordingPaths, sidecar: PartSidecar): Promise<boolean> {
  const write = (): Promise<void> => writeNew(paths.partSidecar, JSON.stringify(sidecar))
  try {
    await write().catch(async (error: unknown) => {
      if (!hasCode(error, 'ENOENT')) throw error
      await ensureDirectory(dirname(paths.base))
      await write()
    })
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  }
}
