import { open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { link, remove, rename } from './files.js'
import { hasCode, ifThere, renamed, type RecordingPaths } from './paths.js'

const MAX_TRIES = 1_000
/** File systems without hard links say so in many ways. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EMLINK']

/**
 * Gives a complete file its final name and resolves to it. What has that name already is never overwritten: the
 * file is then called `<name>-2`. Rejects with ENOENT when `part` is not there (any more).
 */
export async function placeFile(paths: RecordingPaths): Promise<RecordingPaths> {
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    const named = attempt === 1 ? paths : renamed(paths, `${paths.base}-${attempt}`)
    if (await moveTo(named)) return named
  }
  throw new Error(`${MAX_TRIES} files are called ${paths.final}`)
}

/** link() and not rename(): it fails where a file is, and so also tells which of two that try was the first. */
async function moveTo({ part, final }: RecordingPaths): Promise<boolean> {
  try {
    await link(part, final)
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return await isSameFile(part, final)
    if (!hasCode(error, ...NO_LINKS)) throw error
    if (await ifThere(stat(final))) return false
    await rename(part, final)
  }
  return true
}

/** A process died between giving the final name and taking away the first. */
async function isSameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([stat(one), stat(other)])
  return first.ino === second.ino && first.dev === second.dev && first.ino !== 0
}

/** What is left to do when the recording is in its place and its sidecar written. */
export async function removeParts(paths: RecordingPaths): Promise<void> {
  await remove(paths.part)
  await remove(paths.partSidecar)
}

/** Names last through a power failure only when their directory is synced. */
export async function syncDirectoryOf(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
