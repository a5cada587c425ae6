import { readFile } from 'node:fs/promises'
import type { Call, Listen, MixType } from '../model/schema.js'
import { rename, writeFile } from './files.js'
import { FILE_MODE, ifThere } from './paths.js'
import type { FinishedRecording } from './schema.js'
import type { Gap, Pause } from './types.js'

/** What stands beside a recording in the making besides its Listen: all that repairing it needs. */
export interface PartNotes {
  /** of the file */
  id: string
  sampleRate: number
  channels: number
  mixType: MixType
  segment: number
  startedAt: string
  pauses: Pause[]
  gaps: Gap[]
  /** where a sink will want to know, also after a restart */
  call?: Call
}

export type PartSidecar = Listen & { recorder: PartNotes }
/** `<name>.json`: the Listen, its recording included. */
export type Sidecar = Listen & { recording: FinishedRecording }

/** Writes a JSON file that is there whole or not at all. `token`: whose leftover it is if the process dies meanwhile. */
export async function writeJson(path: string, token: string, value: unknown, sync = false): Promise<void> {
  const temporary = `${path.endsWith(token) ? path : `${path}.${token}`}.tmp`
  await writeFile(temporary, format(value), { mode: FILE_MODE, flush: sync })
  await rename(temporary, path)
}

/** undefined when the file isn't there, or isn't a sidecar of ours. */
export async function readSidecar(path: string): Promise<Sidecar | undefined> {
  const value = await readJson(path)
  return isListen(value) && isObject(value['recording']) ? (value as Sidecar) : undefined
}

/** undefined when the file isn't there, or isn't a sidecar of ours. */
export async function readPartSidecar(path: string): Promise<PartSidecar | undefined> {
  const value = await readJson(path)
  return isListen(value) && isObject(value['recorder']) ? (value as PartSidecar) : undefined
}

async function readJson(path: string): Promise<unknown> {
  const text = await ifThere(readFile(path, 'utf8'))
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isListen(value: unknown): value is Record<string, unknown> {
  return isObject(value) && typeof value['id'] === 'string' && typeof value['callSid'] === 'string'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function format(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
