import { createHash } from 'node:crypto'
import type { Listen } from '../model/schema.js'
import type { RecordedStream } from './types.js'

/** Bytes of one part of a path, with room for what we add (`.2.part.json.<token>`) below the 255 of most file systems. */
const MAX_PART_BYTES = 180
const MAX_PARTS = 16
const MAX_ID_BYTES = 80
const DIGEST_HEX = 10

// Letters, digits and marks of any script, and what is harmless in a shell, a url and on every file system.
const UNSAFE = /[^\p{L}\p{N}\p{M} ._\-+@=,()]/gu
const UNSAFE_IN_ID = /[^a-z0-9._-]/g
const EDGES = /^[ .]+|[ .]+$/g
// What we put behind a name: `.part` while it is being written, `.2` for a second segment
const OURS = /\.(?=(?:part|unsent)(?:\.|$)|\d+$)/gi
// Names that Windows takes for devices, whatever their extension
const RESERVED = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i

/** `YYYY/MM/DD/<callSid>-<listenId>`, the day (UTC) on which the listen was asked for: the same on every instance. */
export function defaultName(stream: RecordedStream): string {
  const created = new Date(stream.listen.createdAt)
  const day = (Number.isNaN(created.getTime()) ? new Date() : created)
    .toISOString()
    .slice(0, 10)
    .replaceAll('-', '/')
  return `${day}/${cleanId(stream.callSid)}-${cleanId(stream.listen.id)}`.replace(OURS, '_')
}

/** Which of the listen's recordings it is: 1, or more where the listen was handed over from other sockets. */
export function segmentOf({ segments = [] }: Pick<Listen, 'segments'>): number {
  return segments.length + 1
}

/** What stands behind a name for a segment. */
export function segmentSuffix(segment: number): string {
  return segment === 1 ? '' : `.${segment}`
}

/**
 * An id from the wire as part of a file name: lower-case ASCII, short. Where that changes it, a digest of the id
 * keeps ids apart that would look alike, also on file systems that ignore case.
 */
export function cleanId(id: string): string {
  const clean = id.toLowerCase().replace(UNSAFE_IN_ID, '_').replace(EDGES, '_').slice(0, MAX_ID_BYTES)
  return clean === id && clean !== '' ? clean : `${clean}~${digest(id)}`
}

/**
 * A path below the directory of the recordings, without `.wav`, made of what an application gave: it may have put
 * there what came from the wire (a caller's name). Never leaves the directory, never fails: what is unsafe becomes
 * `_`. Empty when nothing is left.
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
  // `.` and `..` mean something else than a name, and are none of it
  const safe = /^_{0,2}$/.test(clean) && part !== clean ? '' : clean
  const named = RESERVED.test(safe) ? `_${safe}` : safe
  return Buffer.byteLength(named) <= MAX_PART_BYTES
    ? named
    : `${cut(named, MAX_PART_BYTES - DIGEST_HEX - 1)}~${digest(named)}`
}

/** At most so many bytes of UTF-8, no character cut in two. */
function cut(text: string, bytes: number): string {
  return Buffer.from(text)
    .subarray(0, bytes)
    .toString()
    .replace(/\ufffd+$/, '')
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_HEX)
}
