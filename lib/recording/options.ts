import type { Writable } from 'node:stream'
import { Type, type Static } from '@sinclair/typebox'
import { checkOptions, Milliseconds } from '../model/checkOptions.js'
import { ERR_OPTIONS } from '../model/errors.js'
import { MAX_KEY_ID_BYTES, type KeyOf } from './encryption.js'
import type { FinishedRecording } from '../model/recording.js'
import type { RecordedStream } from './types.js'

const MIB = 1024 * 1024

const milliseconds = (description: string) => Type.Optional(Milliseconds(description))
const fn = <T>(description: string) =>
  Type.Unsafe<T>(Type.Function([Type.Unknown()], Type.Unknown(), { description }))

/** Names a recording: a path below `directory`. What is unsafe in it becomes `_`. */
export type FileName = (stream: RecordedStream) => string

/** What a finished recording can be made into. */
const FORMATS = ['wav', 'flac', 'opus', 'mp3'] as const
export type Format = (typeof FORMATS)[number]

/** The option `recording` of the plugin. */
export const RecordingOptionsSchema = Type.Object(
  {
    directory: Type.Optional(
      Type.String({ minLength: 1, description: 'where recordings are written; made when it is not there' })
    ),
    fileName: Type.Optional(
      fn<FileName>(
        'names a recording below `directory`, with or without `.wav`. Default: YYYY/MM/DD/<callSid>-<listenId>.wav, UTC'
      )
    ),
    fillGaps: Type.Optional(
      Type.Boolean({
        description:
          "put silence where audio of the call did not arrive, so that the file keeps the call's time. Default: false"
      })
    ),
    flushInterval: Type.Optional(
      Type.Number({
        minimum: 50,
        maximum: 60_000,
        description: 'ms of audio that a killed process may lose, at most. Default: 1,000'
      })
    ),
    fsync: Type.Optional(
      Type.Union([Type.Boolean(), Type.Literal('end')], {
        description:
          '`end`: a finished file survives a power failure; true: what was flushed does, too, at the price of an fdatasync per flush. Default: false'
      })
    ),
    maxBuffered: Type.Optional(
      Type.Integer({
        minimum: 64 * 1024,
        description:
          'bytes of one recording that may wait for a slow disk or sink; more and it fails. Default: 4 MiB'
      })
    ),
    maxMemory: Type.Optional(
      Type.Integer({
        minimum: MIB,
        description: 'bytes of all recordings together that may wait. Default: 256 MiB'
      })
    ),
    sha256: Type.Optional(
      Type.Boolean({ description: "compute each finished file's SHA-256. Default: true" })
    ),
    levels: Type.Optional(
      Type.Boolean({ description: 'measure peak and RMS of each channel. Default: true' })
    ),
    output: Type.Optional(
      Type.Boolean({
        description:
          'record what the caller heard of the application, too, where a listen streams to the caller: on the right, beside a caller alone in a channel of its own. Default: true'
      })
    ),
    sink: Type.Optional(
      fn<Sink>(
        'returns, or resolves to, a Writable that gets the WAV. Without `directory` as it is spoken; with it when the recording is complete, again if that fails, also after a restart'
      )
    ),
    format: Type.Optional(
      Type.Union(
        FORMATS.map((format) => Type.Literal(format)),
        { description: 'what a complete recording is made into, by ffmpeg. Default: wav, as it was recorded' }
      )
    ),
    ffmpeg: Type.Optional(Type.String({ minLength: 1, description: 'path of ffmpeg. Default: ffmpeg' })),
    retention: Type.Optional(
      Type.Object(
        {
          maxAge: Type.Optional(
            Type.Number({ exclusiveMinimum: 0, description: 'ms that a recording is kept after its end' })
          ),
          maxBytes: Type.Optional(
            Type.Integer({ minimum: 1, description: 'bytes that recordings may take; the oldest go first' })
          ),
          interval: milliseconds('ms between two looks. Default: 10 minutes')
        },
        { additionalProperties: false, description: 'what is kept of the complete recordings. Default: all' }
      )
    ),
    encryption: Type.Optional(
      Type.Object(
        {
          key: fn<KeyOf>('returns, or resolves to, the 32 bytes of the key with the id it is given'),
          keyId: Type.Optional(
            Type.String({
              minLength: 1,
              description: `names the key of new recordings; stands in each file, ${MAX_KEY_ID_BYTES} bytes at most. Default: "default"`
            })
          )
        },
        { additionalProperties: false, description: 'only ciphertext touches the disk (AES-256-GCM)' }
      )
    ),
    writeTimeout: milliseconds(
      'ms that one operation of the disk or sink may take before the recording fails. Default: 30,000'
    )
  },
  { additionalProperties: false }
)
export type RecordingOptions = Static<typeof RecordingOptionsSchema>

/** What a sink is told besides the stream. */
export interface SinkContext {
  /** path of the file below the directory of the recordings, `/` between its parts: a key that is unique */
  name: string
  /** of HTTP */
  contentType: string
  /** what is sent; undefined while it is still being spoken */
  recording?: FinishedRecording
  /** 1 for the first; more when it was, or may have been, tried before */
  attempt: number
}

/**
 * Gives a recording to somebody: its bytes are written to the Writable, which finishes when they are safe there.
 * Its `location`, if it has one then, becomes the recording's; so does every key of its `details`.
 */
export type Sink = (stream: RecordedStream, context: SinkContext) => SinkWritable | Promise<SinkWritable>
export type SinkWritable = Writable & { location?: string; details?: Record<string, unknown> }

export interface Retention {
  /** ms */
  readonly maxAge: number
  /** bytes */
  readonly maxBytes: number
  /** ms */
  readonly interval: number
}

export interface Encryption {
  readonly key: KeyOf
  readonly keyId: string
}

/** The same, checked and complete. */
export interface ResolvedRecordingOptions {
  readonly directory: string | undefined
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
  readonly output: boolean
  readonly encryption: Encryption | undefined
  readonly sink: Sink | undefined
  readonly format: Format
  readonly ffmpeg: string
  readonly retention: Retention | undefined
  /** ms */
  readonly writeTimeout: number
}

/** Throws FST_JAMBONZ_OPTIONS naming the option and its value. */
export function resolveRecordingOptions(options: RecordingOptions): ResolvedRecordingOptions {
  checkOptions(RecordingOptionsSchema, options, 'recording')
  if (options.directory === undefined) checkWithoutDirectory(options)
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
    output: options.output ?? true,
    sink: options.sink,
    format: options.format ?? 'wav',
    ffmpeg: options.ffmpeg ?? 'ffmpeg',
    retention: options.retention && {
      maxAge: Infinity,
      maxBytes: Infinity,
      interval: 600_000,
      ...options.retention
    },
    encryption: resolveEncryption(options.encryption),
    writeTimeout: options.writeTimeout ?? 30_000
  })
}

const NEED_DIRECTORY = ['fileName', 'format', 'retention', 'encryption', 'fsync'] as const

function checkWithoutDirectory(options: RecordingOptions): void {
  if (options.sink === undefined) {
    throw new ERR_OPTIONS('recording: needs a `directory` to write to, or a `sink`')
  }
  const name = NEED_DIRECTORY.find((option) => options[option] !== undefined)
  if (name !== undefined) {
    throw new ERR_OPTIONS(
      `recording.${name}: needs a recording.directory: a sink alone gets the audio as it is spoken`
    )
  }
}

function resolveEncryption(encryption: RecordingOptions['encryption']): Encryption | undefined {
  if (encryption === undefined) return undefined
  const { key, keyId = 'default' } = encryption
  if (Buffer.byteLength(keyId) > MAX_KEY_ID_BYTES) {
    throw new ERR_OPTIONS(`recording.encryption.keyId: has more than ${MAX_KEY_ID_BYTES} bytes`)
  }
  return { key, keyId }
}

function resolveFsync(fsync: RecordingOptions['fsync']): ResolvedRecordingOptions['fsync'] {
  if (fsync === true) return 'flush'
  return fsync === 'end' ? 'end' : 'never'
}
