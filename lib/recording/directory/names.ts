import { createHash } from 'node:crypto'
import type { Listen } from '../../model/schema.js'
import type { RecordedStream } from '../types.js'

/**
 * The infix of an incomplete recording: its file is `<base>.part<extension>`, and `<base><extension>` once it is
 * complete.
 */
export const PART = '.part'
export const WAV = '.wav'
export const ENCRYPTED = '.enc'
export const ENCRYPTED_WAV = `${WAV}${ENCRYPTED}`
/** Below the directory of the recordings: one file for each instance that records there. */
export const INSTANCES_DIRECTORY = '.instances'

/**
 * Bytes of one part of a path, with room for what we add (`.2.part.json.<token>`) below the 255 of most file systems.
 */
const MAX_PART_BYTES = 180
const MAX_PARTS = 16
const MAX_ID_BYTES = 80
const DIGEST_HEX = 10
const MAX_TOKEN_NAME = 20

// All but letters, digits and marks of any script, and what is harmless in a shell, a url and a file system.
const UNSAFE = /[^\p{L}\p{N}\p{M} ._\-+@=,()]/gu
const UNSAFE_IN_ID = /[^a-z0-9._-]/g
const EDGES = /^[ .]+|[ .]+$/g
// The suffixes that we add to a name: `.part` while the file is being written, `.2` for a second segment
const OURS = /\.(?=(?:part|unsent)(?:\.|$)|\d+$)/gi
// Names that Windows takes for devices, whatever their extension
const RESERVED = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i

const SEGMENT = /\.(\d+)$/
// A token (tokenOf) as the end of a file's name
const TOKEN = '[a-z0-9._~-]+-[0-9a-f]{12}'
const PART_AUDIO = /^(.+)\.part(\.wav(?:\.enc)?)$/
const PART_SIDECAR = new RegExp(`^(.+)\\.part\\.json\\.(${TOKEN})$`)
const TEMPORARY = new RegExp(`\\.(?:json|flac|opus|mp3)(?:\\.enc)?\\.(${TOKEN})(?:\\+\\d+)?\\.tmp$`)
const STEM = /^(.*?)(?:\.\d+)?(?:\.(?:part|unsent))?(?:\.(?:wav|json|flac|opus|mp3))?(?:\.enc)?$/
let temporaries = 0

/** The files of one recording, from its path without extension, and the token of the instance that works on it. */
export interface RecordingPaths {
  /** path without extension */
  base: string
  /** while it is being written */
  part: string
  /** its name contains the owner: the owner is known as soon as the file exists, even while it is empty */
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

/** Returns the paths with the same part files and another final name. */
export function renamed(paths: RecordingPaths, base: string): RecordingPaths {
  return { ...paths, base, final: base + paths.final.slice(paths.base.length), sidecar: `${base}.json` }
}

/** The kind of a file below the directory, as its name tells. */
export type FileKind =
  | { kind: 'partAudio'; base: string; extension: string }
  | { kind: 'partSidecar'; base: string; owner: string }
  | { kind: 'temporary'; owner: string }

/** Tells a part's files and temporary ones by their names; undefined for all others. */
export function kindOf(name: string): FileKind | undefined {
  const [, audioOf, extension] = PART_AUDIO.exec(name) ?? []
  if (audioOf !== undefined && extension !== undefined) return { kind: 'partAudio', base: audioOf, extension }
  const [, sidecarOf, owner] = PART_SIDECAR.exec(name) ?? []
  if (sidecarOf !== undefined && owner !== undefined) return { kind: 'partSidecar', base: sidecarOf, owner }
  const writer = TEMPORARY.exec(name)?.[1]
  return writer === undefined ? undefined : { kind: 'temporary', owner: writer }
}

/** Returns the part of a name that all files, segments and formats of a recording share, in lower case. */
export function stemOf(name: string): string {
  const lower = name.toLowerCase()
  return STEM.exec(lower)?.[1] ?? lower
}

/** Returns a name for a file that the owner of `token` is about to write: no other has it, in any process. */
export function temporaryName(path: string, token: string): string {
  const named = path.endsWith(`.${token}`) ? path : `${path}.${token}`
  return `${named}+${++temporaries}.tmp`
}

/** Returns the token of an instance: unique, and a part of file names. `random`: 12 hexadecimal digits. */
export function tokenOf(instance: string, random: string): string {
  return `${cleanId(instance).slice(0, MAX_TOKEN_NAME)}-${random}`
}

/**
 * Returns `YYYY/MM/DD/<callSid>-<listenId>`, the day (UTC) on which the listen was asked for: the same on every
 * instance.
 */
export function defaultName(stream: RecordedStream): string {
  const created = new Date(stream.listen.createdAt)
  const day = (Number.isNaN(created.getTime()) ? new Date() : created)
    .toISOString()
    .slice(0, 10)
    .replaceAll('-', '/')
  return `${day}/${cleanId(stream.callSid)}-${cleanId(stream.listen.id)}`.replace(OURS, '_')
}

/** Returns the number of the listen's next recording: 1, or more if the listen was handed over from other sockets. */
export function segmentOf({ segments = [] }: Pick<Listen, 'segments'>): number {
  return segments.length + 1
}

/** Returns the suffix of a segment's name. */
export function segmentSuffix(segment: number): string {
  return segment === 1 ? '' : `.${segment}`
}

/** Returns the name of a listen's first segment, from that of any. */
export function withoutSegment(base: string): string {
  return base.replace(SEGMENT, '')
}

/** Returns the number of the segment that a name without extension belongs to. */
export function segmentNumber(base: string): number {
  return Number(SEGMENT.exec(base)?.[1] ?? 1)
}

/**
 * Returns an id from the wire as part of a file name: lower-case ASCII, short. Where that changes it, a digest of the
 * id keeps ids apart that would look alike, also on file systems that ignore case.
 */
export function cleanId(id: string): string {
  const clean = id.toLowerCase().replace(UNSAFE_IN_ID, '_').replace(EDGES, '_').slice(0, MAX_ID_BYTES)
  return clean === id && clean !== '' ? clean : `${clean}~${digest(id)}`
}

/**
 * Returns a path below the directory of the recordings, without `.wav`, from a name that the application gave and that
 * may contain text from the wire (a caller's name). The path never leaves the directory; unsafe characters become `_`.
 * Never fails. Returns an empty string if nothing is left.
 */
export function cleanName(name: string): string {
  const parts = name
    .normalize('NFC')
    .replace(/\.wav$/i, '')
    .split('/')
    .map(cleanPart)
    .filter((part) => part !== '')
  return parts.slice(-MAX_PARTS).join('/').replace(OURS, '_')
}

function cleanPart(part: string): string {
  const clean = part.replace(UNSAFE, '_').replace(EDGES, (edge) => '_'.repeat(edge.length))
  // `.` and `..` are no names
  const safe = /^_{0,2}$/.test(clean) && part !== clean ? '' : clean
  const named = RESERVED.test(safe) ? `_${safe}` : safe
  return Buffer.byteLength(named) <= MAX_PART_BYTES
    ? named
    : `${cut(named, MAX_PART_BYTES - DIGEST_HEX - 1)}~${digest(named)}`
}

/** Cuts to at most so many bytes of UTF-8, no character in two. */
function cut(text: string, bytes: number): string {
  return Buffer.from(text)
    .subarray(0, bytes)
    .toString()
    .replace(/\ufffd+$/, '')
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_HEX)
}
