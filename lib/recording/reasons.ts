import type { FinishedRecording } from '../model/recording.js'

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

/** An error of a recording; `recording` is the part that was saved before it failed. */
export interface RecordingError extends Error {
  code: string
  recording?: FinishedRecording
}
