import type { FastifyBaseLogger } from 'fastify'
import type { Listen } from '../model/schema.js'
import { BlockPool } from './BlockWriter.js'
import { Instances } from './directory/Instances.js'
import { RecordingDirectory } from './directory/RecordingDirectory.js'
import { FileOutput } from './FileOutput.js'
import { FlushTimer } from './FlushTimer.js'
import { checkFfmpeg } from './formats.js'
import { resolveRecordingOptions, type RecordingOptions, type ResolvedRecordingOptions } from './options.js'
import { Recovery, type OnRecovered } from './Recovery.js'
import { Retention } from './Retention.js'
import type { FinishedRecording } from '../model/recording.js'
import { channelsWithOutput, isSpokenTo, OutputMixer, TwoSides, type Heard } from './OutputMixer.js'
import { SinkOutput } from './SinkOutput.js'
import { Spool } from './Spool.js'
import { StreamRecorder } from './StreamRecorder.js'
import type { Output, RecordedStream, Recorder, RecordingError } from './types.js'

export interface RecordingsDeps {
  logger: FastifyBaseLogger
  /** name of this instance; files that other instances read contain it */
  instance: string
  /** ms between two heartbeats of an instance; tests use a shorter one */
  heartbeat?: number
}

export interface Recordings {
  /** number of complete recordings that are not compressed or sent yet */
  readonly waiting: number
  /** bytes of `maxMemory` in use */
  readonly memory: number
  /**
   * Begins a recording. Never throws. If the output can't be opened, this recording fails. `onFailed`: called
   * once, as soon as the recording fails. `heard`: returns the application's audio that the caller heard, if
   * it is recorded, too.
   */
  start(stream: RecordedStream, onFailed?: (error: RecordingError) => void, heard?: Heard): Recorder
  /**
   * Repairs the recordings that dead instances left in the directory, and looks for more until close(). Resolves after
   * the first look, or after 5 s; never rejects. `onRecovered` is also called for a recording that finish() returned as
   * `spooled`, once it is compressed and sent.
   */
  recover(onRecovered: (listen: Listen, recording: FinishedRecording) => void): Promise<void>
  /**
   * Closes unfinished recordings without completing them, since the next start repairs them. Never rejects.
   */
  close(): Promise<void>
}

/**
 * Returns the recordings of a directory. Throws FST_JAMBONZ_OPTIONS if an option is wrong or the directory can't be
 * written, FST_JAMBONZ_RECORDING_FFMPEG if ffmpeg can't make the format.
 */
export function createRecordings(options: RecordingOptions, deps: RecordingsDeps): Recordings {
  const resolved = resolveRecordingOptions(options)
  if (resolved.format !== 'wav') checkFfmpeg(resolved.ffmpeg, resolved.format)
  const directory =
    resolved.directory === undefined ? undefined : new DirectoryRecordings(resolved.directory, resolved, deps)
  return new OpenRecordings(resolved, directory, deps.logger)
}

class OpenRecordings implements Recordings {
  readonly #options: ResolvedRecordingOptions
  readonly #directory: DirectoryRecordings | undefined
  readonly #logger: FastifyBaseLogger
  readonly #pool: BlockPool
  readonly #timer: FlushTimer
  readonly #live = new Set<StreamRecorder>()

  constructor(
    options: ResolvedRecordingOptions,
    directory: DirectoryRecordings | undefined,
    logger: FastifyBaseLogger
  ) {
    this.#options = options
    this.#directory = directory
    this.#logger = logger
    this.#pool = new BlockPool(options.maxMemory)
    this.#timer = new FlushTimer(options.flushInterval)
  }

  get waiting(): number {
    return this.#directory?.waiting ?? 0
  }

  get memory(): number {
    return this.#pool.lent
  }

  start(
    stream: RecordedStream,
    onFailed: (error: RecordingError) => void = () => {},
    heard?: Heard
  ): Recorder {
    if (heard === undefined || !this.#options.output || !isSpokenTo(stream)) {
      return this.#start(stream, onFailed)
    }
    const recorded = channelsWithOutput(stream) > stream.channels ? new TwoSides(stream) : stream
    return new OutputMixer(this.#start(recorded, onFailed), stream.mixType, heard)
  }

  #start(stream: RecordedStream, onFailed: (error: RecordingError) => void): Recorder {
    const logger = this.#logger.child({ callSid: stream.callSid, listenId: stream.listen.id })
    const recorder: StreamRecorder = new StreamRecorder(stream, this.#output(stream, logger), {
      options: this.#options,
      pool: this.#pool,
      timer: this.#timer,
      logger,
      onFailed,
      onEnded: () => this.#live.delete(recorder)
    })
    this.#live.add(recorder)
    return recorder
  }

  async recover(onRecovered: (listen: Listen, recording: FinishedRecording) => void): Promise<void> {
    await this.#directory?.recover(onRecovered)
  }

  async close(): Promise<void> {
    await this.#directory?.stop()
    await Promise.all([...this.#live].map((recorder) => recorder.abandon()))
    this.#timer.close()
    await this.#directory?.close()
  }

  #output(stream: RecordedStream, logger: FastifyBaseLogger): Output {
    if (this.#directory) return this.#directory.createOutput(stream, logger)
    const { sink, sha256 } = this.#options
    if (sink) return new SinkOutput(stream, sink, { sha256, logger })
    throw new TypeError('options are checked: there is a directory or a sink')
  }
}

/** The recordings of one directory, and the parts that they share. */
class DirectoryRecordings {
  readonly #options: ResolvedRecordingOptions
  readonly #instances: Instances
  readonly #directory: RecordingDirectory
  readonly #spool: Spool
  readonly #recovery: Recovery
  readonly #retention: Retention | undefined

  constructor(
    path: string,
    options: ResolvedRecordingOptions,
    { logger, instance, heartbeat }: RecordingsDeps
  ) {
    this.#options = options
    const instances = new Instances(path, instance, heartbeat)
    const directory = new RecordingDirectory(path, options, instances.token)
    directory.checkWritable()
    const spool = new Spool({ options, directory, token: instances.token, logger })
    this.#instances = instances
    this.#directory = directory
    this.#spool = spool
    this.#recovery = new Recovery({
      directory,
      options,
      instances,
      spool,
      logger,
      ...(heartbeat !== undefined && { interval: heartbeat })
    })
    this.#retention = options.retention && new Retention(path, options.retention, instances, logger)
    this.#retention?.start()
  }

  get waiting(): number {
    return this.#spool.running
  }

  createOutput(stream: RecordedStream, logger: FastifyBaseLogger): Output {
    return new FileOutput(stream, {
      options: this.#options,
      directory: this.#directory,
      spool: this.#spool,
      instances: this.#instances,
      logger
    })
  }

  async recover(onRecovered: OnRecovered): Promise<void> {
    this.#spool.onLater(onRecovered)
    await this.#recovery.start(onRecovered)
  }

  /** Stops recovery, retention and delivery. */
  async stop(): Promise<void> {
    await Promise.all([this.#recovery.close(), this.#spool.close(), this.#retention?.close()])
  }

  /** Closes the directory once nothing is being recorded. Never rejects. */
  async close(): Promise<void> {
    await this.#instances.close().catch(() => {})
  }
}
