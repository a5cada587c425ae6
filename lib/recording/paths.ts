import { mkdir } from 'node:fs/promises'

/** What a recording's file is called: `<base><extension>`, `<base>.part<extension>` until it is complete. */
export const PART = '.part'
export const WAV = '.wav'
export const ENCRYPTED = '.enc'
export const ENCRYPTED_WAV = `${WAV}${ENCRYPTED}`
/** Mode of what we make: callers' voices are nobody else's business. */
export const FILE_MODE = 0o640
export const DIRECTORY_MODE = 0o750

/** The files of one recording, from its path without extension, and the token of the instance that works on it. */
export interface RecordingPaths {
  /** path without extension */
  base: string
  /** while it is being written */
  part: string
  /** names its owner in its name: so that is known from the moment it exists, before there is anything in it */
  partSidecar: string
  final: string
  sidecar: string
}

export function pathsOf(base: string, extension: string, token: string): RecordingPaths {
  return {
    base,
    part: `${base}${PART}${extension}`,
    partSidecar: `${base}${PART}.json.${token}`,
    final: `${base}${extension}`,
    sidecar: `${base}.json`
  }
}

/** The same parts, which are to become another file. */
export function renamed(paths: RecordingPaths, base: string): RecordingPaths {
  return { ...paths, base, final: base + paths.final.slice(paths.base.length), sidecar: `${base}.json` }
}

export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** The file exists, or would if it were not there: undefined instead of ENOENT. */
export async function ifThere<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

export async function ensureDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: DIRECTORY_MODE })
}
