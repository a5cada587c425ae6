import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { constants, type Dirent, type Stats } from 'node:fs'
import { mkdir, open, readdir, stat } from 'node:fs/promises'
import { dirname, isAbsolute, resolve } from 'node:path'
import { promisify } from 'node:util'
import { isError } from '../../model/json.js'
import { renamed, type RecordingPaths } from './names.js'

// The file operations at the beginning and end of each recording. node:fs/promises is not used, since a
// FileHandle costs several times as much as the operation.
export const openFile = promisify(fs.open)
export const closeFile = promisify(fs.close)
export const link = promisify(fs.link)
export const rename = promisify(fs.rename)
export const lstat = promisify(fs.lstat)
const writeAll = promisify(fs.writeFile)
const unlink = promisify(fs.unlink)
const fstat = promisify(fs.fstat)
const readAll = promisify(fs.readFile)

/** Mode of new files, with which other users can't read the callers' voices. */
export const FILE_MODE = 0o640
const DIRECTORY_MODE = 0o750
/** Windows has neither of these flags, so they are 0 there. Windows has no FIFOs to wait for. */
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>
/** The error codes with which file systems without hard links refuse a link. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EMLINK']
/** Maximum number of names to try: `<name>`, `<name>-2`, … */
const MAX_TRIES = 1_000
/** false: the permission model of Node.js is on, which lets no process flush a file */
export const MAY_FLUSH = process.permission === undefined
/** Bytes that are read and hashed in one go, which blocks the event loop for 0.1 to 0.3 ms. */
const HASH_CHUNK = 64 * 1024

/**
 * Returns a function that returns `path`. Once the process has another working directory, it returns the absolute path,
 * so that a relative path stays the same place.
 */
export function pinned(path: string): () => string {
  if (isAbsolute(path)) return () => path
  try {
    const from = process.cwd()
    const absolute = resolve(from, path)
    return () => (process.cwd() === from ? path : absolute)
  } catch {
    // The working directory was removed, so the first use of the path fails with the system's message.
    return () => path
  }
}

export function hasCode(error: unknown, ...codes: string[]): boolean {
  return isError(error) && 'code' in error && codes.includes(String(error.code))
}

/** Resolves to the result of `operation`; undefined if the file does not exist (ENOENT). */
export async function ifThere<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Resolves to true if the name exists, even as a link to nothing. Rejects if the system can't tell. */
export async function isThere(path: string): Promise<boolean> {
  return (await ifThere(lstat(path))) !== undefined
}

/**
 * Resolves to the entries of a directory; to none if it does not exist. If this process may not read it, calls `refused`,
 * and resolves to none.
 */
export async function entriesOf(
  directory: string,
  refused: (directory: string, err: unknown) => void
): Promise<Dirent[]> {
  try {
    return (await ifThere(readdir(directory, { withFileTypes: true }))) ?? []
  } catch (error) {
    if (!hasCode(error, 'EACCES', 'EPERM')) throw error
    refused(directory, error)
    return []
  }
}

/** Removes a file, or a link to a file. Resolves even if the file does not exist. */
export async function remove(path: string): Promise<void> {
  await ifThere(unlink(path))
}

/**
 * Makes a directory and the directories above it. Does not use the option `recursive` of mkdir(), which never
 * ends if the system refuses the directory with ENOENT, as in /proc.
 */
export async function ensureDirectory(path: string): Promise<void> {
  try {
    await makeDirectory(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    // If the directory above exists by now, another process or recording has just made it.
    if (!(await isThere(dirname(path)))) await ensureDirectory(dirname(path))
    await makeDirectory(path)
  }
}

/** Makes a directory and the directories above it, synchronously. */
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

/**
 * Writes a new file. Rejects with EEXIST if the name exists, so that no file is overwritten and no link
 * followed.
 */
export async function writeNew(path: string, content: string, sync = false): Promise<void> {
  await writeAll(path, content, { mode: FILE_MODE, flag: 'wx', flush: sync })
}

/**
 * Opens an existing file, and does not follow links. `flags`: `r` or `r+`. Rejects with NotARegularFile if the name is
 * a link, a directory, a pipe or a device. It does not wait for the other end of a pipe.
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

/** The error for a link, a directory, a pipe or a device in place of a recording's file. */
export class NotARegularFile extends Error {
  constructor(path: string, what?: Stats) {
    super(
      `"${path}" is ${what === undefined || what.isSymbolicLink() ? 'a link' : 'no regular file'}, and is left alone. Move the file itself there`
    )
  }
}

/** Opens a file, calls `use` with it, and closes it. Resolves to the result of `use`. Never follows a link. */
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
      throw new Error(`"${path}" has more than ${maxBytes} bytes: this plugin did not write it`)
    }
    return await readAll(fd, 'utf8')
  })
}

/** Reads `length` bytes at offset `at`, or less at the end of the file. Resolves to their number. */
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
 * Resolves to the SHA-256 of an open file, hexadecimal. Reads the complete file, usually from the page cache.
 * The file can't be hashed while it is written, since the header at its start is written last.
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

/** Syncs the directory of a file, so that the file's name survives a power failure. */
export async function syncDirectoryOf(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/**
 * Gives a complete file its final name, and resolves to its paths. Never overwrites a file. If the name is
 * taken, uses `<name>-2`. Rejects with ENOENT if the part file does not exist.
 */
export async function placeFile(paths: RecordingPaths): Promise<RecordingPaths> {
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    const named = attempt === 1 ? paths : renamed(paths, `${paths.base}-${attempt}`)
    if (await moveTo(named)) return named
  }
  throw new Error(`${MAX_TRIES} files have the name ${paths.final}`)
}

/** Removes the part files, once the recording has its final name and its sidecar is written. */
export async function removeParts(paths: RecordingPaths): Promise<void> {
  await remove(paths.part)
  await remove(paths.partSidecar)
}

/**
 * Moves a part file to its final name. Resolves to false if that name is taken. It uses link(), which fails if the name
 * exists; rename() would overwrite it.
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
 * Resolves to true if both names are the same file. This happens if a process died after it had made the
 * second name, and before it removed the first.
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
  ENOSPC: 'the disk is full. Free some space or inodes (df -i), or let recording.retention do it',
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

/** Returns the message of an error of the file system or of a sink, with its code, and what to do about it. */
export function reasonOf(error: unknown): string {
  if (!isError(error)) return String(error)
  const code = 'code' in error ? String(error.code) : undefined
  const reason = code === undefined ? undefined : REASONS[code]
  if (reason === undefined) return error.message
  // Of "ENOSPC: no space left on device, write" only the middle is used.
  const words = error.message.startsWith(`${code}: `)
    ? error.message.slice(`${code}: `.length)
    : error.message
  return `${reason} (${code}): ${words}`
}
