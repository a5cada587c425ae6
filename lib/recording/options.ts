import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ERR_OPTIONS } from '../errors.js'
import type { RecordedStream } from './types.js'

const MIB = 1024 * 1024

const positive = (description: string) => Type.Optional(Type.Number({ exclusiveMinimum: 0, description }))
const fn = <T>(description: string) => Type.Unsafe<T>(Type.Function([Type.Unknown()], Type.Unknown(), { description }))

/** Names a recording: a path below `directory`. What is unsafe in it becomes `_`. */
export type FileName = (stream: RecordedStream) => string

/** The option `recording` of the plugin. */
export const RecordingOptionsSchema = Type.Object({
  directory: Type.Optional(Type.String({ minLength: 1, description: 'where recordings are written; made when it is not there' })),
  fileName: Type.Optional(fn<FileName>('names a recording below `directory`, with or without `.wav`. Default: YYYY/MM/DD/<callSid>-<listenId>.wav, UTC')),
  fillGaps: Type.Optional(Type.Boolean({ description: 'put silence where audio of the call did not arrive, so that the file keeps the call\'s time. Default: false' })),
  flushInterval: Type.Optional(Type.Number({ minimum: 50, maximum: 60_000, description: 'ms of audio that a killed process may lose, at most. Default: 1,000' })),
  fsync: Type.Optional(Type.Union([Type.Boolean(), Type.Literal('end')], { description: '`end`: a finished file survives a power failure; true: what was flushed does, too, at the price of an fdatasync per flush. Default: false' })),
  maxBuffered: Type.Optional(Type.Integer({ minimum: 64 * 1024, description: 'bytes of one recording that may wait for a slow disk or sink; more and it fails. Default: 4 MiB' })),
  maxMemory: Type.Optional(Type.Integer({ minimum: MIB, description: 'bytes of all recordings together that may wait. Default: 256 MiB' })),
  sha256: Type.Optional(Type.Boolean({ description: 'compute each finished file\'s SHA-256. Default: true' })),
  levels: Type.Optional(Type.Boolean({ description: 'measure peak and RMS of each channel. Default: true' })),
  writeTimeout: positive('ms that one operation of the disk or sink may take before the recording fails. Default: 30,000')
}, { additionalProperties: false })
export type RecordingOptions = Static<typeof RecordingOptionsSchema>

/** The same, checked and complete. */
export interface ResolvedRecordingOptions {
  readonly directory: string
  readonly fileName: FileName | undefined
  readonly fillGaps: boolean
  /** ms */
  readonly flushInterval: number
  readonly fsync: 'never' | 'end' | 'flush'
  /** bytes */
  readonly maxBuffered: number
  /** bytes */
  readonly maxMemory: number
  readonly sha256: boolean
  readonly levels: boolean
  /** ms */
  readonly writeTimeout: number
}

/** Throws FST_JAMBONZ_OPTIONS naming the option and its value. */
export function resolveRecordingOptions (options: RecordingOptions): ResolvedRecordingOptions {
  const first = Value.Errors(RecordingOptionsSchema, options).First()
  if (first !== undefined) {
    const name = `recording${first.path.replaceAll('/', '.')}`
    const hint = typeof first.schema.description === 'string' ? ` (${first.schema.description})` : ''
    throw new ERR_OPTIONS(`${name}: ${first.message}, not ${JSON.stringify(first.value) ?? String(first.value)}${hint}`)
  }
  if (options.directory === undefined) throw new ERR_OPTIONS('recording: needs a `directory` to write to')
  return Object.freeze({
    directory: options.directory,
    fileName: options.fileName,
    fillGaps: options.fillGaps ?? false,
    flushInterval: options.flushInterval ?? 1_000,
    fsync: resolveFsync(options.fsync),
    maxBuffered: options.maxBuffered ?? 4 * MIB,
    maxMemory: options.maxMemory ?? 256 * MIB,
    sha256: options.sha256 ?? true,
    levels: options.levels ?? true,
    writeTimeout: options.writeTimeout ?? 30_000
  })
}

function resolveFsync (fsync: RecordingOptions['fsync']): ResolvedRecordingOptions['fsync'] {
  if (fsync === true) return 'flush'
  return fsync === 'end' ? 'end' : 'never'
}
