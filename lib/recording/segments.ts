import { readdir } from 'node:fs/promises'
import { basename, dirname, join as joinPath } from 'node:path'
import type { Listen, Recording } from '../model/schema.js'
import { isThere } from './files.js'
import type { RecordingPaths } from './paths.js'
import type { FinishedRecording, Segment } from './schema.js'
import { readSidecar, writeJson, type Sidecar } from './sidecar.js'

const SEGMENT = /\.(\d+)$/

/**
 * Writes the sidecar of a file, and resolves to what the listen's recording now is: this file, or all its segments.
 * Called whenever something about the file has changed.
 */
export async function saveSidecar(
  paths: RecordingPaths,
  segment: number,
  token: string,
  listen: Listen,
  recording: FinishedRecording,
  sync: boolean
): Promise<FinishedRecording> {
  await writeJson(paths.sidecar, token, { ...listen, recording }, sync)
  return (await joinSegments(paths.base, segment, token, listen)) ?? recording
}

/**
 * A listen that was handed over from one socket to another has several files, `<name>.wav`, `<name>.2.wav` and so
 * on, each with its own sidecar. The first's sidecar is the index: its recording lists them all, and its Listen is that
 * of the last. Called after each was written, in whatever order and by whichever instance. Undefined when there is only one.
 */
async function joinSegments(
  base: string,
  segment: number,
  token: string,
  listen: Listen
): Promise<FinishedRecording | undefined> {
  const first = segment === 1 ? base : base.replace(SEGMENT, '')
  const elsewhere = knownFiles(listen.recording)
  if (segment === 1 && elsewhere.length === 0 && !(await isThere(`${first}.2.json`))) return undefined
  for (let known = 0; ;) {
    const sidecars = await readSegments(first)
    const joined = join([...elsewhere, ...sidecars.map(({ recording }) => recording)])
    // whoever writes last has seen all: what came while the index was written is looked for again
    if (joined === undefined || sidecars.length === known) return joined
    known = sidecars.length
    if (await isThere(`${first}.json`)) {
      await writeJson(`${first}.json`, token, { ...sidecars.at(-1), recording: joined })
    }
  }
}

/** The recording of a listen, with what is known already of its recordings on other sockets. */
export function withKnown(recording: FinishedRecording, known: Recording | undefined): FinishedRecording {
  return join([...knownFiles(known), recording]) ?? recording
}

/** This file's own part of what its sidecar says, which may be the index. */
export function ownRecording({ segments, ...recording }: FinishedRecording): FinishedRecording {
  return { ...recording, ...segments?.find((segment) => segment.id === recording.id) }
}

/** The sidecars of those that are complete, in order. */
async function readSegments(first: string): Promise<Sidecar[]> {
  const name = basename(first)
  const names = (await readdir(dirname(first)))
    .filter((file) => file.startsWith(name) && /^(?:\.\d+)?\.json$/.test(file.slice(name.length)))
    .sort((one, other) => numberOf(one) - numberOf(other))
  const sidecars = await Promise.all(names.map((file) => readSidecar(joinPath(dirname(first), file))))
  return sidecars.filter((sidecar) => sidecar !== undefined)
}

function numberOf(file: string): number {
  return Number(SEGMENT.exec(file.slice(0, -'.json'.length))?.[1] ?? 1)
}

/** Undefined when it is one file. Of what is said of one file the last counts that knows most of it. */
function join(recordings: FinishedRecording[]): FinishedRecording | undefined {
  const segments = listAll(recordings)
  const [begin, last] = [segments[0], segments.at(-1)]
  const first = recordings.findLast(({ id }) => id === begin?.id) ?? recordings[0]
  if (first === undefined || begin === undefined || last === undefined || begin === last) return undefined
  return {
    ...first,
    location: begin.location,
    state: segments.find(({ state }) => state !== 'saved')?.state ?? 'saved',
    bytes: sum(segments.map((segment) => segment.bytes)),
    durationMs: sum(segments.map((segment) => segment.durationMs)),
    endedAt: last.endedAt,
    segments
  }
}

/** Each file once, as they followed each other. */
function listAll(recordings: FinishedRecording[]): Segment[] {
  const files = new Map<string, Omit<Segment, 'gapBeforeMs'>>()
  for (const recording of recordings) {
    for (const file of recording.segments ?? [recording]) {
      // it has been compressed or sent since another listed it
      if (file.state !== 'spooled' || files.get(file.id)?.state !== 'saved') files.set(file.id, file)
    }
  }
  const sorted = [...files.values()].sort(
    (one, other) => Date.parse(one.startedAt) - Date.parse(other.startedAt)
  )
  const segments: Segment[] = []
  for (const { id, state, location, bytes, durationMs, startedAt, endedAt, sha256 } of sorted) {
    const before = segments.at(-1)
    const gapBeforeMs = before ? Math.max(0, Date.parse(startedAt) - Date.parse(before.endedAt)) : 0
    segments.push({
      id,
      state,
      location,
      bytes,
      durationMs,
      startedAt,
      endedAt,
      gapBeforeMs,
      ...(sha256 && { sha256 })
    })
  }
  return segments
}

/** What the store knows, such as of an instance with another directory. */
function knownFiles(recording: Recording | undefined): FinishedRecording[] {
  return recording !== undefined && 'id' in recording && 'endedAt' in recording
    ? [recording as FinishedRecording]
    : []
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
