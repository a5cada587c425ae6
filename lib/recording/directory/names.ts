import { createHash } from 'node:crypto'
import type { Listen } from '../../model/schema.js'
import type { RecordedStream } from '../types.js'

/**
 * The infix in the name of an incomplete recording, `<base>.part<extension>`. A complete recording has the
 * name `<base><extension>`.
 */
export const PART = '.part'
export const WAV = '.wav'
export const ENCRYPTED = '.enc'
export const ENCRYPTED_WAV = `${WAV}${ENCRYPTED}`
/** The directory with a file for each instance that records, below the directory of the recordings. */
export const INSTANCES_DIRECTORY = '.instances'

/**
 * Maximum bytes of one part of a path. Most file systems allow 255; the rest is for suffixes
 * (`.2.part.json.<token>`).
 */
const MAX_PART_BYTES = 180
const MAX_PARTS = 16
const MAX_ID_BYTES = 80
const DIGEST_HEX = 10
const MAX_TOKEN_NAME = 20

// Matches all characters except letters, digits and marks of any script, and characters that are safe in
// shells, URLs and file systems.
const UNSAFE = /[^\p{L}\p{N}\p{M} ._\-+@=,()]/gu
const UNSAFE_IN_ID = /[^a-z0-9._-]/g
const EDGES = /^[ .]+|[ .]+$/g
// Matches the dot of a reserved suffix: `.part` for a file that is being written, `.2` for a second segment.
const OURS = /\.(?=(?:part|unsent)(?:\.|$)|\d+$)/gi
// Matches names that Windows takes for devices, with any extension.
const RESERVED = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i

const SEGMENT = /\.(\d+)$/
// A token, as tokenOf() makes it, at the end of a file's name.
const TOKEN = '[a-z0-9._~-]+-[0-9a-f]{12}'
const PART_AUDIO = /^(.+)\.part(\.wav(?:\.enc)?)$/
const PART_SIDECAR = new RegExp(`^(.+)\\.part\\.json\\.(${TOKEN})$`)
const TEMPORARY = new RegExp(`\\.(?:json|flac|opus|mp3)(?:\\.enc)?\\.(${TOKEN})(?:\\+\\d+)?\\.tmp$`)
const STEM = /^(.*?)(?:\.\d+)?(?:\.(?:part|unsent))?(?:\.(?:wav|json|flac|opus|mp3))?(?:\.enc)?$/
let temporaries = 0

/**
 * The paths of the files of one recording, made from its path without extension, and from the token of the
 * instance that works on the recording.
 */
export interface RecordingPaths {
  /** path without extension */
  base: string
  /** path of the audio while it is being written */
  part: string
  /**
   * path of the sidecar while the audio is being written. The path contains the owner's token, so even an
   * empty sidecar tells the owner.
   */
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

/** The kind of a file below the directory, according to its name. */
export type FileKind =
  | { kind: 'partAudio'; base: string; extension: string }
  | { kind: 'partSidecar'; base: string; owner: string }
  | { kind: 'temporary'; owner: string }

/** Returns the kind of a file of an unfinished recording, or of a temporary file; undefined for all other files. */
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

/**
 * Returns a name for a temporary file of the instance with this token. The name is unique among all
 * processes.
 */
export function temporaryName(path: string, token: string): string {
  const named = path.endsWith(`.${token}`) ? path : `${path}.${token}`
  return `${named}+${++temporaries}.tmp`
}

/**
 * Returns the token of an instance, which is unique and can be a part of file names. `random`: 12 hexadecimal digits.
 */
export function tokenOf(instance: string, random: string): string {
  return `${cleanId(instance).slice(0, MAX_TOKEN_NAME)}-${random}`
}

/**
 * Returns `YYYY/MM/DD/<callSid>-<listenId>`. The day, in UTC, is the day of the answer with the `listen`
 * verb, so that all instances get the same name.
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

/** Returns the name of a listen's first segment. `base`: the name of any of its segments. */
export function withoutSegment(base: string): string {
  return base.replace(SEGMENT, '')
}

/** Returns the number of the segment that a name without extension belongs to. */
export function segmentNumber(base: string): number {
  return Number(SEGMENT.exec(base)?.[1] ?? 1)
}

/**
 * Returns an id from the wire as a part of a file name, in short lower-case ASCII. If this changes the id, a
 * digest of the id is added, so that different ids stay different, also on file systems that ignore case.
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
  // A part such as `.` or `..` is left out, since it is not valid as a name.
  const safe = /^_{0,2}$/.test(clean) && part !== clean ? '' : clean
  const named = RESERVED.test(safe) ? `_${safe}` : safe
  return Buffer.byteLength(named) <= MAX_PART_BYTES
    ? named
    : `${cut(named, MAX_PART_BYTES - DIGEST_HEX - 1)}~${digest(named)}`
}

/** Returns the beginning of a text: at most `bytes` bytes of UTF-8, in whole characters. */
function cut(text: string, bytes: number): string {
  return Buffer.from(text)
    .subarray(0, bytes)
    .toString()
    .replace(/\ufffd+$/, '')
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_HEX)
}
