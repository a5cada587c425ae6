import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Listen } from '../model/schema.js'
import { closeFile, isThere, openFile, remove, writeFile } from './files.js'
import { audioExtension, finalExtension } from './formats.js'
import type { ResolvedRecordingOptions } from './options.js'
import { segmentOf, segmentSuffix } from './names.js'
import { findPart } from './parts.js'
import { ensureDirectory, FILE_MODE, hasCode, ifThere, pathsOf, type RecordingPaths } from './paths.js'
import { removeParts } from './place.js'
import { readPartSidecar, readSidecar, type PartNotes, type PartSidecar } from './sidecar.js'

const MAX_TRIES = 1_000
const MAX_SEGMENTS = 100
/** Directories whose names are remembered, and names in one of them: beyond, only exact names are compared. */
const MAX_DIRECTORIES = 8
const MAX_NAMES = 20_000
const STEM = /^(.*?)(?:\.\d+)?(?:\.(?:part|unsent))?(?:\.(?:wav|json|flac|opus|mp3))?(?:\.enc)?$/

export interface Claim {
  paths: RecordingPaths
  /** 1, or more where the listen had a recording before (handover) */
  segment: number
  /** of the part file, which is open and empty */
  fd: number
}

/**
 * Gives each recording a name that no other has, here or in another instance, also where case is ignored. A name is
 * taken by creating its `.part` file, which the file system lets only one do.
 */
export class Claims {
  readonly #directory: string
  readonly #extension: string
  readonly #finalExtension: string
  /** lower-case names being written by this process, and by which listen */
  readonly #live = new Map<string, string>()
  readonly #names = new Map<string, Set<string>>()

  readonly #token: string

  /** `token`: the owner of what is claimed */
  constructor(directory: string, options: ResolvedRecordingOptions, token: string) {
    this.#directory = directory
    this.#extension = audioExtension(options)
    this.#finalExtension = finalExtension(options)
    this.#token = token
  }

  /**
   * `unique`: the name is made of unique, lower-case ids, so there is no need to look for one that differs in case.
   * Rejects with the file system's error.
   */
  async claim(
    name: string,
    unique: boolean,
    listen: Listen,
    notes: Omit<PartNotes, 'segment'>
  ): Promise<Claim> {
    const next = segmentOf(listen)
    for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
      const base = join(this.#directory, attempt === 1 ? name : `${name}-${attempt}`)
      const claim = next === 1 ? await this.#try(base, 1, unique, listen, notes) : undefined
      if (claim !== undefined) return claim
      // where the files of its earlier sockets are not, an instance with another directory has them
      if ((await this.#holds(base, listen)) || (next > 1 && !(await this.#isTaken(base)))) {
        return await this.#claimSegment(base, Math.max(next, 2), listen, notes)
      }
    }
    throw new Error(`${MAX_TRIES} recordings are called ${name}`)
  }

  release(claim: Claim): void {
    this.#live.delete(claim.paths.base.toLowerCase())
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
    const paths = pathsOf(base, this.#extension, this.#token)
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

  /** What describes the audio is there before the audio is. Resolves to its descriptor, undefined when the name is taken. */
  async #create(paths: RecordingPaths, sidecar: PartSidecar): Promise<number | undefined> {
    await writePart(paths, sidecar)
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
    return (
      (await this.#isComplete(pathsOf(base, this.#extension, this.#token))) ||
      (await findPart(base)) !== undefined
    )
  }

  async #isComplete({ base, sidecar, final }: RecordingPaths): Promise<boolean> {
    const there = await Promise.all([...new Set([sidecar, final, base + this.#finalExtension])].map(isThere))
    return there.includes(true)
  }

  /** What has this name is an earlier segment of the same listen. */
  async #holds(base: string, listen: Listen): Promise<boolean> {
    if (this.#live.get(base.toLowerCase()) === listen.id) return true
    const { sidecar } = pathsOf(base, this.#extension, this.#token)
    const complete = await readSidecar(sidecar)
    if (complete) return complete.id === listen.id
    const part = await findPart(base)
    return part?.sidecar !== undefined && (await readPartSidecar(part.sidecar))?.id === listen.id
  }

  /** No file in its directory has the same name in another case. */
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
    const names = new Set(files.slice(0, MAX_NAMES).map((file) => STEM.exec(file.toLowerCase())?.[1] ?? file))
    this.#names.set(directory, names)
    const [oldest] = this.#names.keys()
    if (this.#names.size > MAX_DIRECTORIES && oldest !== undefined) this.#names.delete(oldest)
    return names
  }
}

async function writePart(paths: RecordingPaths, sidecar: PartSidecar): Promise<void> {
  try {
    await writeFile(paths.partSidecar, JSON.stringify(sidecar), { mode: FILE_MODE })
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    await ensureDirectory(dirname(paths.base))
    await writeFile(paths.partSidecar, JSON.stringify(sidecar), { mode: FILE_MODE })
  }
}
