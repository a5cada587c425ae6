import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { constants, type Stats } from 'node:fs'
import { mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'

// The file operations at the beginning and end of every recording. Not those of node:fs/promises: a FileHandle costs several
// times the operation.
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
/** Bytes that are read and hashed in one go: 0.1 to 0.3 ms of the event loop. */
const HASH_CHUNK = 64 * 1024

export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** Resolves to undefined where the file does not exist (ENOENT). */
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

/** Reads a text file, never through a link. Rejects where it is larger than `maxBytes`. */
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

function readAt(fd: number, into: Buffer, offset: number, length: number, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, offset, length, at, (error, bytes) => {
      if (error) reject(error)
      else resolve(bytes)
    })
  })
}
