import * as fs from 'node:fs'
import { promisify } from 'node:util'
import { hasCode } from './paths.js'

// What every recording does when it begins and when it ends. Not those of node:fs/promises: their FileHandles cost
// several times the operation.
export const openFile = promisify(fs.open)
export const closeFile = promisify(fs.close)
export const writeFile = promisify(fs.writeFile)
export const link = promisify(fs.link)
export const rename = promisify(fs.rename)
const access = promisify(fs.access)
const unlink = promisify(fs.unlink)

/** Rejects when nobody can tell. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

/** Also when it is gone already. */
export async function remove(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}
