import { randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { basename, dirname, join as joinPath } from 'node:path'
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isObject } from '../../model/json.js'
import { ListenSchema, MixTypeSchema, type Call, type Listen, type Recording } from '../../model/schema.js'
import type { WavFormat } from '../../pcm/wavHeader.js'
import {
  FinishedRecordingSchema,
  GapSchema,
  PauseSchema,
  type FinishedRecording,
  type Segment
} from '../../model/recording.js'
import type { Gap, Pause } from '../types.js'
import { ifThere, isThere, NotARegularFile, readSmall, remove, rename, writeNew } from './files.js'
import { segmentNumber, temporaryName, withoutSegment, type RecordingPaths } from './names.js'
import { isoTime } from '../../model/time.js'

/** Maximum bytes of a sidecar. A larger file was not written by this plugin. */
const MAX_SIDECAR_BYTES = 8 * 1024 * 1024
const MAX_SAMPLE_RATE = 384_000

/** The notes in the sidecar of an unfinished recording, besides its Listen. A repair needs these notes. */
export interface PartNotes {
  /** id of the file */
  id: string
  sampleRate: number
  channels: number
  mixType: Listen['mixType']
  segment: number
  startedAt: string
  pauses: Pause[]
  gaps: Gap[]
  /** the call at the beginning of the recording */
  call?: Call
}

export type PartSidecar = Listen & { recorder: PartNotes }
/**
 * The content of `<name>.json`: the Listen with its recording, and fields of its call, which the store deletes later.
 */
export type Sidecar = Listen & { call?: CallFields; recording: FinishedRecording }
export type CallFields = Pick<Call, 'from' | 'to' | 'direction' | 'data'>

const FormatSchema = Type.Object({
  sampleRate: Type.Integer({ minimum: 1, maximum: MAX_SAMPLE_RATE }),
  channels: Type.Integer({ minimum: 1, maximum: 2 })
})
const CallFieldsSchema = Type.Object({
  callSid: Type.String(),
  data: Type.Record(Type.String(), Type.Unknown())
})

/**
 * Writes a JSON file atomically. `token`: token of this instance, which becomes a part of the temporary
 * file's name.
 */
export async function writeJson(path: string, token: string, value: unknown, sync = false): Promise<void> {
  const temporary = temporaryName(path, token)
  try {
    await writeNew(temporary, `${JSON.stringify(value, null, 2)}\n`, sync)
    await rename(temporary, path)
  } catch (error) {
    await remove(temporary).catch(() => {})
    throw error
  }
}

/**
 * Resolves to the sidecar in a file; undefined if the file does not exist, or if a field of the recording in it is not
 * valid.
 */
export async function readSidecar(path: string): Promise<Sidecar | undefined> {
  const value = await readJson(path)
  if (!isListen(value) || !Value.Check(FinishedRecordingSchema, value.recording)) return undefined
  return { ...mended(value, value.recording), recording: value.recording }
}

/**
 * Resolves to the sidecar of an unfinished recording; undefined if the file does not exist, or names no
 * listen. Its other fields are not checked, since mendNotes() checks them.
 */
export async function readPartSidecar(
  path: string
): Promise<(Record<string, unknown> & Pick<Listen, 'id' | 'callSid'>) | undefined> {
  const value = await readJson(path)
  return isListen(value) ? value : undefined
}

/**
 * Returns the sidecar of an unfinished recording with each invalid field replaced, and calls `broken` with
 * the names of these fields. `found`: the format in the header of the audio, which is preferred to the format
 * in the sidecar. Returns undefined if neither header nor sidecar has the format.
 */
export function mendNotes(
  value: Record<string, unknown> & Pick<Listen, 'id' | 'callSid'>,
  base: string,
  found: WavFormat | undefined,
  broken: (field: string) => void
): PartSidecar | undefined {
  const recorder = isObject(value.recorder) ? value.recorder : {}
  const said = Value.Check(FormatSchema, recorder) ? recorder : undefined
  const format = found ?? said
  if (format === undefined) return undefined
  const { sampleRate, channels } = format
  if (said?.sampleRate !== sampleRate) broken('sampleRate')
  if (said?.channels !== channels) broken('channels')
  const take = <T extends TSchema>(schema: T, field: string, otherwise: Static<T>): Static<T> => {
    if (Value.Check(schema, recorder[field])) return recorder[field]
    broken(field)
    return otherwise
  }
  const listen = mended(value, format, broken)
  const notes: PartNotes = {
    id: take(Type.String({ minLength: 1 }), 'id', randomUUID()),
    sampleRate,
    channels,
    mixType: take(MixTypeSchema, 'mixType', listen.mixType),
    segment: take(Type.Integer({ minimum: 1, maximum: 1_000 }), 'segment', segmentNumber(base)),
    startedAt: isTime(recorder.startedAt) ? recorder.startedAt : (listen.startedAt ?? listen.createdAt),
    pauses: take(Type.Array(PauseSchema), 'pauses', []),
    gaps: take(Type.Array(GapSchema), 'gaps', [])
  }
  if (!isTime(recorder.startedAt)) broken('startedAt')
  if (Value.Check(CallFieldsSchema, recorder.call)) notes.call = recorder.call as unknown as Call
  return { ...listen, recorder: notes }
}

/**
 * Writes the sidecar of a file, and resolves to the recording of the whole listen, with all its segments.
 * Called whenever a fact about the file has changed.
 */
export async function saveSidecar(
  paths: RecordingPaths,
  segment: number,
  token: string,
  { call, listen }: { call: CallFields | undefined; listen: Listen },
  recording: FinishedRecording,
  sync: boolean
): Promise<FinishedRecording> {
  await writeJson(paths.sidecar, token, { ...listen, ...(call && { call: fieldsOf(call) }), recording }, sync)
  return (await joinSegments(paths.base, segment, token, listen)) ?? recording
}

/** Returns the recording of a listen, joined with the recordings of its other sockets that the store knows. */
export function withKnown(recording: FinishedRecording, known: Recording | undefined): FinishedRecording {
  return join([...knownFiles(known), recording]) ?? recording
}

/**
 * Returns the recording of one file alone. `recording`: the recording in the sidecar, which may list all
 * segments.
 */
export function ownRecording({ segments, ...recording }: FinishedRecording): FinishedRecording {
  return { ...recording, ...segments?.find((segment) => segment.id === recording.id) }
}

/**
 * Writes the index of a listen with several files, and resolves to the joined recording; undefined if there
 * is only one file. A listen that was handed over from one socket to another has a file for each socket,
 * `<name>.wav`, `<name>.2.wav` and so on, each with its own sidecar. The first sidecar is the index. Its
 * recording lists all files, and its Listen is the Listen of the last file. Called after each file was
 * written, in any order and by any instance.
 */
async function joinSegments(
  base: string,
  segment: number,
  token: string,
  listen: Listen
): Promise<FinishedRecording | undefined> {
  const first = segment === 1 ? base : withoutSegment(base)
  const elsewhere = knownFiles(listen.recording)
  if (segment === 1 && elsewhere.length === 0 && !(await isThere(`${first}.2.json`))) return undefined
  for (let known = 0; ;) {
    const sidecars = await readSegments(first)
    const joined = join([...elsewhere, ...sidecars.map(({ recording }) => recording)])
    // The sidecars are read again, since another file may have been completed while the index was written.
    if (joined === undefined || sidecars.length === known) return joined
    known = sidecars.length
    if (await isThere(`${first}.json`)) {
      await writeJson(`${first}.json`, token, { ...sidecars.at(-1), recording: joined })
    }
  }
}

/** Resolves to the sidecars of the complete segments, in order. */
async function readSegments(first: string): Promise<Sidecar[]> {
  const name = basename(first)
  const names = (await readdir(dirname(first)))
    .filter((file) => file.startsWith(name) && /^(?:\.\d+)?\.json$/.test(file.slice(name.length)))
    .sort((one, other) => numberOf(one) - numberOf(other))
  const sidecars = await Promise.all(names.map((file) => readSidecar(joinPath(dirname(first), file))))
  return sidecars.filter((sidecar) => sidecar !== undefined)
}

function fieldsOf({ from, to, direction, data }: CallFields): CallFields {
  return {
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(direction !== undefined && { direction }),
    data
  }
}

function numberOf(file: string): number {
  return segmentNumber(file.slice(0, -'.json'.length))
}

/**
 * Returns the recordings joined; undefined if they are all one file. If a file has two entries, the more
 * complete entry counts; if both are equally complete, the later entry counts.
 */
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

/** Returns the files of the recordings in order, each once. */
function listAll(recordings: FinishedRecording[]): Segment[] {
  const files = new Map<string, Omit<Segment, 'gapBeforeMs'>>()
  for (const recording of recordings) {
    for (const file of recording.segments ?? [recording]) {
      // A `spooled` entry must not replace a `saved` entry, which was written later.
      if (file.state !== 'spooled' || files.get(file.id)?.state !== 'saved') files.set(file.id, file)
    }
  }
  const sorted = [...files.values()].sort(compareSegments)
  const segments: Segment[] = []
  for (const { id, segment, state, location, bytes, durationMs, startedAt, endedAt, sha256 } of sorted) {
    const before = segments.at(-1)
    const gapBeforeMs = before ? Math.max(0, Date.parse(startedAt) - Date.parse(before.endedAt)) : 0
    segments.push({
      id,
      ...(segment !== undefined && { segment }),
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

/** Compares segments by number, if both have one, since their times may come from different clocks. */
function compareSegments(one: Omit<Segment, 'gapBeforeMs'>, other: Omit<Segment, 'gapBeforeMs'>): number {
  const byNumber = one.segment !== undefined && other.segment !== undefined ? one.segment - other.segment : 0
  return byNumber || Date.parse(one.startedAt) - Date.parse(other.startedAt)
}

/** Returns the files of a recording in the store. Some may be in the directory of another instance. */
function knownFiles(recording: Recording | undefined): FinishedRecording[] {
  return Value.Check(FinishedRecordingSchema, recording) ? [recording] : []
}

/** Returns a Listen with valid fields only. An invalid field is left out, or gets its default. */
function mended(
  value: Record<string, unknown> & Pick<Listen, 'id' | 'callSid'>,
  { sampleRate, channels }: WavFormat,
  broken: (field: string) => void = () => {}
): Listen {
  const { recorder, ...fields } = value
  const properties: Record<string, TSchema> = ListenSchema.properties
  const right: Record<string, unknown> = {}
  for (const [field, said] of Object.entries(fields)) {
    const schema = properties[field]
    const wrong = schema && !Value.Check(schema, said)
    if (wrong || (TIMES.has(field) && !isTime(said))) broken(`listen.${field}`)
    else right[field] = said
  }
  return {
    path: '/audio',
    state: 'ended',
    connected: true,
    mixType: channels === 2 ? 'stereo' : 'mono',
    sampleRate,
    channels,
    createdAt: isoTime(),
    audio: { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 },
    ...right,
    id: value.id,
    callSid: value.callSid
  }
}

const TIMES = new Set(['createdAt', 'startedAt', 'endedAt'])

async function readJson(path: string): Promise<unknown> {
  try {
    const text = await ifThere(readSmall(path, MAX_SIDECAR_BYTES))
    return text === undefined ? undefined : JSON.parse(text)
  } catch (error) {
    // The file has no valid JSON, or is no regular file.
    if (error instanceof SyntaxError || error instanceof NotARegularFile) return undefined
    throw error
  }
}

function isListen(value: unknown): value is Record<string, unknown> & Pick<Listen, 'id' | 'callSid'> {
  return isObject(value) && typeof value.id === 'string' && typeof value.callSid === 'string'
}

function isTime(value: unknown): value is string {
  return typeof value === 'string' && !Number.isNaN(Date.parse(value))
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
