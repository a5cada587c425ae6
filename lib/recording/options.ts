import type { Writable } from 'node:stream'
import { Type, type Static } from '@sinclair/typebox'
import {
  checkOptions,
  MIB,
  Milliseconds,
  withDefault,
  withDefaults,
  type Resolved
} from '../model/checkOptions.js'
import { ERR_OPTIONS } from '../model/errors.js'
import { MAX_KEY_ID_BYTES, type KeyOf } from './encryption.js'
import type { FinishedRecording } from '../model/recording.js'
import type { RecordedStream } from './types.js'

const fn = <T>(description: string, unset?: string) =>
  Type.Unsafe<T>(
    Type.Function([Type.Unknown()], Type.Unknown(), { description, ...(unset !== undefined && { unset }) })
  )

/** Returns the name of a recording: a path below `directory`. Unsafe characters in it are replaced with `_`. */
export type FileName = (stream: RecordedStream) => string

/** The formats of a finished recording. */
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
        'names a recording below `directory`, with or without `.wav`',
        '`YYYY/MM/DD/<callSid>-<listenId>.wav`, UTC'
      )
    ),
    fillGaps: withDefault(
      Type.Boolean({
        description:
          "put silence where audio of the call did not arrive, so that the file keeps the call's time"
      }),
      false
    ),
    flushInterval: withDefault(
      Type.Number({
        minimum: 50,
        maximum: 60_000,
        description: 'ms of audio that a killed process may lose, at most'
      }),
      1_000
    ),
    fsync: withDefault(
      Type.Union([Type.Boolean(), Type.Literal('end')], {
        description:
          '`end`: a finished file survives a power failure; true: what was flushed does, too, at the price of an fdatasync per flush'
      }),
      false
    ),
    maxBuffered: withDefault(
      Type.Integer({
        minimum: 64 * 1024,
        description: 'bytes of one recording that may wait for a slow disk or sink; more and it fails'
      }),
      4 * MIB
    ),
    maxMemory: withDefault(
      Type.Integer({
        minimum: MIB,
        description: 'bytes of all recordings together that may wait'
      }),
      256 * MIB
    ),
    sha256: withDefault(Type.Boolean({ description: "compute each finished file's SHA-256" }), true),
    levels: withDefault(Type.Boolean({ description: 'measure peak and RMS of each channel' }), true),
    output: withDefault(
      Type.Boolean({
        description:
          'record what the caller heard of the application, too, where a listen streams to the caller: on the right, beside a caller alone in a channel of its own'
      }),
      true
    ),
    sink: Type.Optional(
      fn<Sink>(
        'returns, or resolves to, a Writable that gets the WAV. Without `directory` as it is spoken; with it when the recording is complete, again if that fails, also after a restart'
      )
    ),
    format: withDefault(
      Type.Union(
        FORMATS.map((format) => Type.Literal(format)),
        { description: 'what a complete recording is made into, by ffmpeg: `wav` as it was recorded' }
      ),
      'wav'
    ),
    ffmpeg: withDefault(Type.String({ minLength: 1, description: 'path of ffmpeg' }), 'ffmpeg'),
    retention: Type.Optional(
      Type.Object(
        {
          maxAge: withDefault(
            Type.Number({ exclusiveMinimum: 0, description: 'ms that a recording is kept after its end' }),
            Infinity
          ),
          maxBytes: withDefault(
            Type.Integer({ minimum: 1, description: 'bytes that recordings may take; the oldest go first' }),
            Infinity
          ),
          interval: withDefault(Milliseconds('ms between two looks', 50), 600_000)
        },
        { additionalProperties: false, description: 'what is kept of the complete recordings', unset: 'all' }
      )
    ),
    encryption: Type.Optional(
      Type.Object(
        {
          key: fn<KeyOf>('returns, or resolves to, the 32 bytes of the key with the id it is given'),
          keyId: withDefault(
            Type.String({
              minLength: 1,
              description: `names the key of new recordings; stands in each file, ${MAX_KEY_ID_BYTES} bytes at most`
            }),
            'default'
          )
        },
        { additionalProperties: false, description: 'only ciphertext touches the disk (AES-256-GCM)' }
      )
    ),
    writeTimeout: withDefault(
      Milliseconds('ms that one operation of the disk or sink may take before the recording fails', 50),
      30_000
    )
  },
  { additionalProperties: false }
)
export type RecordingOptions = Static<typeof RecordingOptionsSchema>

/** The facts about a recording that a sink gets besides the stream. */
export interface SinkContext {
  /**
   * path of the file below the directory of the recordings, with `/` between its parts. It is unique, so fit as a key.
   */
  name: string
  /** value for the HTTP header Content-Type */
  contentType: string
  /** the recording that is sent; undefined while it is in progress */
  recording?: FinishedRecording
  /** number of this attempt: 1 for the first */
  attempt: number
}

/**
 * Returns a Writable for a recording. Its bytes are written to that Writable, which must finish only when they are
 * saved. After that, its `location` and each key of its `details`, if present, become those of the recording.
 */
export type Sink = (stream: RecordedStream, context: SinkContext) => SinkWritable | Promise<SinkWritable>
export type SinkWritable = Writable & { location?: string; details?: Record<string, unknown> }

type Defaulted = Resolved<typeof RecordingOptionsSchema.properties>
export type Retention = NonNullable<Defaulted['retention']>
export type Encryption = NonNullable<Defaulted['encryption']>

/** The option `recording`, checked and with all defaults. */
export interface ResolvedRecordingOptions extends Omit<Defaulted, 'fsync'> {
  readonly fsync: 'never' | 'end' | 'flush'
}

/** Returns the options with all defaults. Throws FST_JAMBONZ_OPTIONS that names a wrong option and its value. */
export function resolveRecordingOptions(options: RecordingOptions): ResolvedRecordingOptions {
  checkOptions(RecordingOptionsSchema, options, 'recording')
  if (options.directory === undefined) checkWithoutDirectory(options)
  const resolved = withDefaults(RecordingOptionsSchema, options)
  checkKeyId(resolved.encryption)
  return Object.freeze({ ...resolved, fsync: resolveFsync(resolved.fsync) })
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

function checkKeyId(encryption: Encryption | undefined): void {
  if (encryption !== undefined && Buffer.byteLength(encryption.keyId) > MAX_KEY_ID_BYTES) {
    throw new ERR_OPTIONS(`recording.encryption.keyId: has more than ${MAX_KEY_ID_BYTES} bytes`)
  }
}

function resolveFsync(fsync: Defaulted['fsync']): ResolvedRecordingOptions['fsync'] {
  if (fsync === true) return 'flush'
  return fsync === 'end' ? 'end' : 'never'
}
