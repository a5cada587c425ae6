import type { Writable } from 'node:stream'
import { Type, type Static } from '@sinclair/typebox'
import {
  checkOptions,
  MIB,
  Milliseconds,
  withDefault,
  withDefaults,
  type OrUndefined,
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

/**
 * Returns the name of a recording, which is a path below `directory`. Unsafe characters in the name are
 * replaced with `_`.
 */
export type FileName = (stream: RecordedStream) => string

/** The formats of a finished recording. */
const FORMATS = ['wav', 'flac', 'opus', 'mp3'] as const
export type Format = (typeof FORMATS)[number]

/** The option `recording` of the plugin. */
export const RecordingOptionsSchema = Type.Object(
  {
    directory: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'the folder of the recordings; the plugin creates it if it does not exist'
      })
    ),
    fileName: Type.Optional(
      fn<FileName>(
        '`(stream) => string`: returns the path of a recording below `directory`, with or without `.wav`',
        '`YYYY/MM/DD/<callSid>-<listenId>.wav`, UTC'
      )
    ),
    fillGaps: withDefault(
      Type.Boolean({
        description:
          'write silence for each time in which no audio of the call arrived, so that a second in the file is a second of the call'
      }),
      false
    ),
    flushInterval: withDefault(
      Type.Number({
        minimum: 50,
        maximum: 60_000,
        description: 'ms of audio that is lost at most if the process is killed'
      }),
      1_000
    ),
    fsync: withDefault(
      Type.Union([Type.Boolean(), Type.Literal('end')], {
        description:
          '`end`: a complete file survives a power failure. `true`: flushed audio of an incomplete file survives, too, but each flush costs an fdatasync. `false`: the operating system decides when it writes to the disk'
      }),
      false
    ),
    maxBuffered: withDefault(
      Type.Integer({
        minimum: 64 * 1024,
        description:
          'bytes of one recording that may wait for a slow disk or sink; if more bytes wait, the recording fails'
      }),
      4 * MIB
    ),
    maxMemory: withDefault(
      Type.Integer({
        minimum: MIB,
        description: 'bytes of all recordings together that may wait for a slow disk or sink'
      }),
      256 * MIB
    ),
    sha256: withDefault(Type.Boolean({ description: 'compute the SHA-256 of each complete file' }), true),
    levels: withDefault(
      Type.Boolean({ description: 'measure the peak and the RMS level of each channel' }),
      true
    ),
    output: withDefault(
      Type.Boolean({
        description:
          'also record the audio that the application streams to the caller, as the caller heard it. See [Both sides](docs/recording.md#both-sides)'
      }),
      true
    ),
    sink: Type.Optional(
      fn<Sink>(
        '`(stream, context) => Writable`, or a promise of one: gets the recording. Without `directory` the Writable gets the audio during the call. With `directory` it gets the complete file after the call; if that fails, the plugin calls `sink` again, also after a restart. See [Sinks](docs/recording.md#sinks)'
      )
    ),
    format: withDefault(
      Type.Union(
        FORMATS.map((format) => Type.Literal(format)),
        {
          description:
            'format into which ffmpeg converts a complete recording. `wav`: the recording is not converted'
        }
      ),
      'wav'
    ),
    ffmpeg: withDefault(Type.String({ minLength: 1, description: 'path of the program ffmpeg' }), 'ffmpeg'),
    retention: Type.Optional(
      Type.Object(
        {
          maxAge: withDefault(
            Type.Number({ exclusiveMinimum: 0, description: 'ms that a recording is kept after its end' }),
            Infinity
          ),
          maxBytes: withDefault(
            Type.Integer({
              minimum: 1,
              description:
                'bytes that all complete recordings may take; the plugin deletes the oldest ones first'
            }),
            Infinity
          ),
          interval: withDefault(Milliseconds('ms between two searches for recordings to delete', 50), 600_000)
        },
        {
          additionalProperties: false,
          description:
            'which complete recordings the plugin keeps, and which it deletes: see [Retention](docs/recording.md#retention)',
          unset: 'all: the plugin deletes no recording'
        }
      )
    ),
    encryption: Type.Optional(
      Type.Object(
        {
          key: fn<KeyOf>('returns, or resolves to, the 32 bytes of the key that has the given id'),
          keyId: withDefault(
            Type.String({
              minLength: 1,
              description: `the id of the key for new recordings; each file contains this id, ${MAX_KEY_ID_BYTES} bytes at most`
            }),
            'default'
          )
        },
        {
          additionalProperties: false,
          description:
            'the plugin encrypts recordings (AES-256-GCM) before it writes them to the disk: see [Encryption](docs/recording.md#encryption)'
        }
      )
    ),
    writeTimeout: withDefault(
      Milliseconds('ms that one operation of the disk or sink may take before the recording fails', 50),
      30_000
    )
  },
  { additionalProperties: false }
)
export type RecordingOptions = OrUndefined<Static<typeof RecordingOptionsSchema>>

/** The facts about a recording that a sink gets besides the stream. */
export interface SinkContext {
  /**
   * path of the file below the directory of the recordings, with `/` between its parts. The path is unique,
   * so it can serve as a key.
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
 * Returns a Writable for a recording, or resolves to it. The plugin writes the bytes of the recording to the
 * Writable, which must finish only when they are saved. Then the Writable's `location`, and each key of its
 * `details`, become those of the recording.
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
