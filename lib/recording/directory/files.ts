import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { constants, type Stats } from 'node:fs'
import { mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { renamed, type RecordingPaths } from './names.js'

// The file operations at the beginning and end of every recording. Not those of node:fs/promises: a FileHandle costs
// several times the operation.
export const openFile = promisify(fs.open)
export const closeFile = promisify(fs.close)
export const link = promisify(fs.link)
export const rename = promisify(fs.rename)
export const lstat = promisify(fs.lstat)
const writeAll = promisify(fs.writeFile)
const unlink = promisify(fs.unlink)
const fstat = promisify(fs.fstat)
const readAll = promisify(fs.readFile)

/** Mode of the files and directories that we make: callers' voices are nobody else's business. */
export const FILE_MODE = 0o640
const DIRECTORY_MODE = 0o750
/** Windows has neither flag, and no FIFOs. */
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>
/** File systems without hard links say so in many ways. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EMLINK']
/** Files of one name, at most. */
const MAX_TRIES = 1_000
/** Bytes that are read and hashed in one go: 0.1 to 0.3 ms of the event loop. */
const HASH_CHUNK = 64 * 1024

export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** Resolves to undefined if the file does not exist (ENOENT). */
export async function ifThere<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Resolves to true if the name exists, even as a dangling link. Rejects if the system can't tell. */
export async function isThere(path: string): Promise<boolean> {
  return (await ifThere(lstat(path))) !== undefined
}

/** Removes a file, or a link to one; one that is gone already is no error. */
export async function remove(path: string): Promise<void> {
  await ifThere(unlink(path))
}

/**
 * Makes a directory and those above it. Not with mkdir's own `recursive`: it never ends where the system forbids it
 * with ENOENT (/proc).
 */
export async function ensureDirectory(path: string): Promise<void> {
  try {
    await makeDirectory(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    // Where the one above is there by now, another process or recording has just made it.
    if (!(await isThere(dirname(path)))) await ensureDirectory(dirname(path))
    await makeDirectory(path)
  }
}

/** Does the same, synchronously. */
export function ensureDirectorySync(path: string): void {
  try {
    makeDirectorySync(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    if (!fs.existsSync(dirname(path))) ensureDirectorySync(dirname(path))
    makeDirectorySync(path)
  }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, DIRECTORY_MODE)
  } catch (error) {
    if (!hasCode(error, 'EEXIST') || !(await stat(path)).isDirectory()) throw error
  }
}

function makeDirectorySync(path: string): void {
  try {
    fs.mkdirSync(path, DIRECTORY_MODE)
  } catch (error) {
    if (!hasCode(error, 'EEXIST') || !fs.statSync(path).isDirectory()) throw error
  }
}

/** Writes a new file. Rejects with EEXIST where something has its name: nothing is overwritten, no link is followed. */
export async function writeNew(path: string, content: string, sync = false): Promise<void> {
  await writeAll(path, content, { mode: FILE_MODE, flag: 'wx', flush: sync })
}

/**
 * Opens a file that exists, never through a link: `flags` are `r` or `r+`. Rejects with NotARegularFile where the
 * name is a link, a directory, a pipe or a device, without waiting for a pipe's other end.
 */
export async function openRegular(path: string, flags: 'r' | 'r+'): Promise<number> {
  const access = flags === 'r' ? constants.O_RDONLY : constants.O_RDWR
  const before = await lstat(path)
  if (!before.isFile()) throw new NotARegularFile(path, before)
  let fd: number
  try {
    fd = await openFile(path, access | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    if (hasCode(error, 'ELOOP', 'EMLINK')) throw new NotARegularFile(path)
    throw error
  }
  return fd
}

/** Thrown for a link, a directory, a pipe or a device where a recording's file should be. */
export class NotARegularFile extends Error {
  constructor(path: string, what?: Stats) {
    super(
      `"${path}" is ${what === undefined || what.isSymbolicLink() ? 'a link' : 'no regular file'}, and is left alone. Move the file itself there`
    )
  }
}

/** Resolves to what `use` resolves to, with the file open. Never follows a link. */
export async function withFile<T>(path: string, use: (fd: number) => Promise<T>): Promise<T> {
  const fd = await openRegular(path, 'r')
  try {
    return await use(fd)
  } finally {
    await closeFile(fd)
  }
}

/** Reads a text file, never through a link. Rejects if it is larger than `maxBytes`. */
export async function readSmall(path: string, maxBytes: number): Promise<string> {
  return await withFile(path, async (fd) => {
    if ((await fstat(fd)).size > maxBytes) {
      throw new Error(`"${path}" has more than ${maxBytes} bytes: it is no file of ours`)
    }
    return await readAll(fd, 'utf8')
  })
}

/** Reads `length` bytes at `at`, or less at the end of the file; resolves to how many. */
export async function readFully(fd: number, into: Buffer, length: number, at: number): Promise<number> {
  let read = 0
  while (read < length) {
    const bytes = await readAt(fd, into, read, length - read, at + read)
    if (bytes === 0) break
    read += bytes
  }
  return read
}

/**
 * Resolves to the SHA-256 of an open file, hexadecimal. The header, which comes first, is known last: so the file is
 * read once more when it is complete (from the page cache) rather than hashed on the way.
 */
export async function hashFile(fd: number): Promise<string> {
  const hash = createHash('sha256')
  const chunk = Buffer.allocUnsafeSlow(HASH_CHUNK)
  for (let at = 0; ;) {
    const bytes = await readFully(fd, chunk, chunk.length, at)
    hash.update(chunk.subarray(0, bytes))
    if (bytes < chunk.length) return hash.digest('hex')
    at += bytes
  }
}

export async function hashPath(path: string): Promise<string> {
  return await withFile(path, hashFile)
}

/** Syncs the directory of a file: names last through a power failure only then. */
export async function syncDirectoryOf(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/**
 * Gives a complete file its final name, and resolves to its paths. It never overwrites a file: if the name is taken,
 * the file is called `<name>-2`. Rejects with ENOENT if `part` does not exist (any more).
 */
export async function placeFile(paths: RecordingPaths): Promise<RecordingPaths> {
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    const named = attempt === 1 ? paths : renamed(paths, `${paths.base}-${attempt}`)
    if (await moveTo(named)) return named
  }
  throw new Error(`${MAX_TRIES} files are called ${paths.final}`)
}

/** Removes the part files, once the recording has its final name and its sidecar is written. */
export async function removeParts(paths: RecordingPaths): Promise<void> {
  await remove(paths.part)
  await remove(paths.partSidecar)
}

/**
 * Moves a part to its final name; resolves to false if that is taken. Uses link(), which unlike rename() fails on a
 * name that exists.
 */
async function moveTo({ part, final }: RecordingPaths): Promise<boolean> {
  try {
    await link(part, final)
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return await isSameFile(part, final)
    if (!hasCode(error, ...NO_LINKS)) throw error
    if (await isThere(final)) return false
    await rename(part, final)
  }
  return true
}

/**
 * Resolves to true if both names are one file: a process died after it made the second and before it removed the
 * first.
 */
async function isSameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([lstat(one), lstat(other)])
  return first.ino === second.ino && first.dev === second.dev && first.ino !== 0
}

function readAt(fd: number, into: Buffer, offset: number, length: number, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, offset, length, at, (error, bytes) => {
      if (error) reject(error)
      else resolve(bytes)
    })
  })
}

const REASONS: Record<string, string> = {
  ENOSPC: 'the disk is full. Free some space, or let recording.retention do it',
  EDQUOT: 'the disk quota is used up. Free some space, or raise it',
  EFBIG: 'the file may not grow any more. Raise the file size limit',
  EROFS: 'the file system is read-only. Mount it writable, or choose another recording.directory',
  EACCES: 'the process may not write there. Change the permissions, or choose another recording.directory',
  EPERM: 'the process may not write there. Change the permissions, or choose another recording.directory',
  ENOENT: 'its directory is gone. Put it back, and keep others from removing it while calls are recorded',
  ENOTDIR: 'a part of its directory is a file. Choose another recording.directory',
  ENAMETOOLONG: 'its name is too long. Let recording.fileName return a shorter one',
  EMFILE: 'the process has too many files open. Raise its limit (ulimit -n) to some 4 per call',
  ENFILE: 'the machine has too many files open. Raise its limit',
  EIO: "the disk failed. Look at the system's log"
}

/** Returns the reason of an error of the file system or of a sink, with the system's own words, and the remedy. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : undefined
  const reason = code === undefined ? undefined : REASONS[code]
  if (reason === undefined) return error.message
  // "ENOSPC: no space left on device, write" without what stands there already
  const words = error.message.startsWith(`${code}: `)
    ? error.message.slice(`${code}: `.length)
    : error.message
  return `${reason} (${code}): ${words}`
}
