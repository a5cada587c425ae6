import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { OWNERS_DIRECTORY } from './Owner.js'
import { ifThere, PART } from './paths.js'

// `<base>.part.wav`, `<base>.part.json.<token of its owner>`, and what was not whole yet
const PART_AUDIO = /^(.+)\.part(\.wav(?:\.enc)?)$/
const PART_SIDECAR = /^(.+)\.part\.json\.([a-z0-9._~-]+-[0-9a-f]{12})$/
const TEMPORARY = /\.(?:json|flac|opus|mp3)(?:\.enc)?\.([a-z0-9._~-]+-[0-9a-f]{12})\.tmp$/

/** What there is of a recording that is not complete. */
export interface Part {
  /** path without extension */
  base: string
  /** of the audio, when that is there */
  extension?: string
  /** path of what describes it, when that is there */
  sidecar?: string
  /** token of the instance that records it, or repairs it; undefined when nothing tells */
  owner?: string
}

/** A file that an instance was writing. */
export interface Temporary {
  path: string
  owner: string
}

/** All of a directory and those below, one directory at a time. */
export async function* findParts(
  directory: string
): AsyncGenerator<{ parts: Part[]; temporary: Temporary[] }> {
  const entries = (await ifThere(readdir(directory, { withFileTypes: true }))) ?? []
  const names = entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name)
  const temporary = names.flatMap((name) => {
    const owner = TEMPORARY.exec(name)?.[1]
    return owner === undefined ? [] : [{ path: join(directory, name), owner }]
  })
  yield { parts: partsAmong(directory, names), temporary }
  for (const entry of entries) {
    if (entry.isDirectory() && entry.name !== OWNERS_DIRECTORY) yield* findParts(join(directory, entry.name))
  }
}

/** The one with this base. */
export async function findPart(base: string): Promise<Part | undefined> {
  const names = (await ifThere(readdir(dirname(base)))) ?? []
  return partsAmong(
    dirname(base),
    names.filter((name) => name.startsWith(basename(base)))
  ).find((part) => part.base === base)
}

function partsAmong(directory: string, names: string[]): Part[] {
  const parts = new Map<string, Part>()
  for (const name of names) {
    if (!name.includes(PART)) continue
    const [, audioOf, extension] = PART_AUDIO.exec(name) ?? []
    const [, sidecarOf, owner] = PART_SIDECAR.exec(name) ?? []
    const base = audioOf ?? sidecarOf
    if (base === undefined) continue
    const part = parts.get(base) ?? { base: join(directory, base) }
    if (extension !== undefined) part.extension = extension
    else Object.assign(part, { sidecar: join(directory, name), owner })
    parts.set(base, part)
  }
  return [...parts.values()]
}
