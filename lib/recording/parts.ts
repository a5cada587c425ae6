import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ifThere, PART } from './paths.js'
import { OWNERS_DIRECTORY } from './Owner.js'

// `<base>.part.wav`, `<base>.part.json`, and `<base>.part.json.<token>` where an instance is repairing
const PART_AUDIO = /^(.+)\.part(\.wav(?:\.enc)?)$/
const PART_SIDECAR = /^(.+)\.part\.json(?:\.([a-z0-9._~-]+-[0-9a-f]{12}))?$/

/** What there is of a recording that is not complete. */
export interface Part {
  /** path without extension */
  base: string
  /** of the audio, when that is there */
  extension?: string
  /** path of what describes it, when that is there */
  sidecar?: string
  /** token of the instance that is, or was, repairing it */
  repairer?: string
}

/** All of them in a directory and those below, in no order. */
export async function * findParts (directory: string): AsyncGenerator<Part> {
  const entries = await ifThere(readdir(directory, { withFileTypes: true })) ?? []
  yield * partsAmong(directory, entries)
  for (const entry of entries) {
    if (entry.isDirectory() && entry.name !== OWNERS_DIRECTORY) yield * findParts(join(directory, entry.name))
  }
}

function partsAmong (directory: string, entries: Dirent[]): Iterable<Part> {
  const parts = new Map<string, Part>()
  for (const { name } of entries) {
    if (!name.includes(PART)) continue
    const [, audioOf, extension] = PART_AUDIO.exec(name) ?? []
    const [, sidecarOf, repairer] = PART_SIDECAR.exec(name) ?? []
    const base = audioOf ?? sidecarOf
    if (base === undefined) continue
    const part = parts.get(base) ?? { base: join(directory, base) }
    if (extension !== undefined) part.extension = extension
    else Object.assign(part, { sidecar: join(directory, name), repairer })
    parts.set(base, part)
  }
  return parts.values()
}
