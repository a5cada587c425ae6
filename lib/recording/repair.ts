import { createHash } from 'node:crypto'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { LARGE_BLOCK } from './blocks.js'
import { Levels } from './Levels.js'
import { ifThere, type RecordingPaths } from './paths.js'
import { placeFile, removeParts } from './place.js'
import type { FinishedRecording } from './schema.js'
import { joinSegments } from './segments.js'
import { readSidecar, writeJson, type PartSidecar, type Sidecar } from './sidecar.js'
import { durationOf, repairWav, WAV_HEADER_BYTES, type WavFormat, type WavRepair } from './wav.js'

export interface Repaired {
  sidecar: Sidecar
  paths: RecordingPaths
}

/**
 * Completes what a process left when it died, at whatever point it did: header, name, sidecar. Its
 * sidecar is ours (`token`) alone. Undefined when nothing was recorded yet.
 */
export async function repairPart (paths: RecordingPaths, token: string, notes: PartSidecar): Promise<Repaired | undefined> {
  const size = (await ifThere(stat(paths.part)))?.size
  if (size === undefined) return await completeNamed(paths, token, notes)
  const { recorder } = notes
  const { mtime } = await stat(paths.part)
  const repair = await repairFile(paths.part, recorder, size)
  const scanned = await scan(paths.part, recorder, mtime)
  return await conclude(await placeFile(paths), token, notes, repair.dataBytes, scanned)
}

/** The audio has its final name: the process died when it wrote the sidecar, or before. */
async function completeNamed (paths: RecordingPaths, token: string, notes: PartSidecar): Promise<Repaired | undefined> {
  const done = await readSidecar(paths.sidecar)
  const file = await ifThere(stat(paths.final))
  if (done?.id === notes.id || file === undefined) {
    await removeParts(paths)
    return done?.id === notes.id ? { sidecar: done, paths } : undefined
  }
  return await conclude(paths, token, notes, file.size - WAV_HEADER_BYTES, await scan(paths.final, notes.recorder, file.mtime))
}

async function conclude (paths: RecordingPaths, token: string, notes: PartSidecar, dataBytes: number, scanned: Scanned): Promise<Repaired> {
  const { recorder: { sampleRate, channels, startedAt, pauses, gaps }, ...listen } = notes
  const recording: FinishedRecording = {
    state: 'saved',
    location: paths.final,
    format: 'wav',
    bytes: WAV_HEADER_BYTES + dataBytes,
    durationMs: Math.round(durationOf({ sampleRate, channels }, dataBytes)),
    sampleRate,
    channels,
    startedAt,
    // when its last sample came, as far as can be told
    endedAt: scanned.endedAt,
    levels: scanned.levels.channels,
    gaps,
    pauses,
    sha256: scanned.sha256,
    recovered: true
  }
  const sidecar = { ...listen, recording }
  await writeJson(paths.sidecar, token, sidecar, true)
  await removeParts(paths)
  const joined = await joinSegments(paths.base, notes.recorder.segment, token, listen)
  return { sidecar: joined ? { ...listen, recording: { ...joined, recovered: true } } : sidecar, paths }
}

async function repairFile (path: string, format: WavFormat, size: number): Promise<WavRepair> {
  const repair = repairWav(format, size)
  const file = await open(path, 'r+')
  try {
    await file.write(repair.header, 0, repair.header.length, 0)
    await file.truncate(repair.fileBytes)
    await file.datasync()
  } finally {
    await file.close()
  }
  return repair
}

interface Scanned {
  /** ISO 8601 */
  endedAt: string
  sha256: string
  levels: Levels
}

async function scan (path: string, format: WavFormat, ended: Date): Promise<Scanned> {
  const hash = createHash('sha256')
  const levels = new Levels(format.channels)
  const memory = new ArrayBuffer(LARGE_BLOCK)
  const bytes = Buffer.from(memory)
  const file = await open(path, 'r')
  try {
    hash.update(bytes.subarray(0, await readFully(file, bytes, WAV_HEADER_BYTES, 0)))
    for (let at = WAV_HEADER_BYTES; ;) {
      const read = await readFully(file, bytes, LARGE_BLOCK, at)
      if (read === 0) break
      hash.update(bytes.subarray(0, read))
      levels.add(new Int16Array(memory, 0, read >> 1), read >> 1)
      at += read
    }
  } finally {
    await file.close()
  }
  return { endedAt: ended.toISOString(), sha256: hash.digest('hex'), levels }
}

async function readFully (file: FileHandle, into: Buffer, length: number, at: number): Promise<number> {
  let read = 0
  while (read < length) {
    const { bytesRead } = await file.read(into, read, length - read, at + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return read
}
