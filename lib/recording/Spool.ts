import { setMaxListeners } from 'node:events'
import { createReadStream } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative, sep } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { toError } from '../model/json.js'
import type { Listen } from '../model/schema.js'
import { ERR_RECORDING_SINK } from '../model/errors.js'
import { hashPath, lstat, openRegular, remove, rename, reasonOf } from './directory/files.js'
import { temporaryName, type RecordingPaths } from './directory/names.js'
import type { RecordingDirectory } from './directory/RecordingDirectory.js'
import { saveSidecar } from './directory/sidecar.js'
import { compress, contentTypeOf } from './formats.js'
import type { Format, ResolvedRecordingOptions } from './options.js'
import { settled } from './RecordingFile.js'
import type { FinishedRecording } from '../model/recording.js'
import { SinkWriter } from './SinkOutput.js'
import type { RecordedStream } from './types.js'

/** ms that finish() waits for compression and delivery; an actionHook waits longer for finish() */
const PATIENCE = 4_000
const FIRST_RETRY = 1_000
const LAST_RETRY = 300_000
/** Number of recordings that are sent at once. Each takes a file descriptor and the memory of its sink. */
const SENT_AT_ONCE = 4

export interface Job {
  paths: RecordingPaths
  segment: number
  stream: RecordedStream
  listen: Listen
  recording: FinishedRecording
  /** number of earlier attempts to send the recording */
  attempts: number
}

export type OnLater = (listen: Listen, recording: FinishedRecording) => void

export interface SpoolDeps {
  options: ResolvedRecordingOptions
  directory: RecordingDirectory
  token: string
  logger: FastifyBaseLogger
}

/** The recordings that are complete on this disk and still to be compressed or sent to the sink. */
export class Spool {
  readonly #deps: SpoolDeps
  readonly #compressing = new Gate(Math.max(1, availableParallelism() - 1))
  readonly #sending = new Gate(SENT_AT_ONCE)
  readonly #closing = new AbortController()
  readonly #running = new Set<Promise<unknown>>()
  #onLater: OnLater = () => {}

  constructor(deps: SpoolDeps) {
    this.#deps = deps
    // Each recording that waits to be sent again adds a listener, so their number is not limited.
    setMaxListeners(0, this.#closing.signal)
  }

  /** number of recordings that are being compressed or sent */
  get running(): number {
    return this.#running.size
  }

  /** Sets the listener that gets each recording which was delivered after its run() had resolved. */
  onLater(listener: OnLater): void {
    this.#onLater = listener
  }

  /**
   * Compresses and sends a recording. Resolves to the recording with these changes. Resolves to undefined
   * after PATIENCE ms, or at the first failure to send it. The recording is then still on this disk, and the
   * work goes on. Never rejects.
   */
  async run(job: Job): Promise<FinishedRecording | undefined> {
    let later = false
    let impatient = (): void => {}
    const waited = new Promise<undefined>((resolve) => {
      impatient = () => resolve(undefined)
    })
    const timer = setTimeout(impatient, PATIENCE).unref()
    const whole = this.#do(job, impatient).then((recording) => {
      if (later && recording) this.#onLater({ ...job.listen, recording }, recording)
      return recording
    })
    this.#running.add(whole)
    whole.finally(() => this.#running.delete(whole)).catch(() => {})
    const recording = await Promise.race([whole, waited])
    clearTimeout(timer)
    later = true
    return recording
  }

  /** Aborts the deliveries under way. The next start repeats them. */
  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.allSettled(this.#running)
  }

  /** Removes the intermediate files of a recording that was delivered. */
  async conclude(paths: RecordingPaths, { location }: FinishedRecording): Promise<void> {
    const { directory } = this.#deps
    for (const path of [paths.final, directory.compressedPath(paths)]) {
      if (path !== location) await remove(path)
    }
    await remove(paths.partSidecar)
  }

  /** Compresses and sends a recording; resolves to undefined if the server closed meanwhile. */
  async #do(job: Job, onFailure: () => void): Promise<FinishedRecording | undefined> {
    const { options, logger } = this.#deps
    const log = logger.child({ callSid: job.listen.callSid, listenId: job.listen.id })
    try {
      const compressed =
        options.format === 'wav'
          ? job.recording
          : await this.#compressing.run(() => this.#compress(job, options.format, log))
      const sent = options.sink
        ? await this.#send({ ...job, recording: compressed }, log, onFailure)
        : compressed
      const recording = await this.#save(job, { ...sent, state: 'saved' })
      await this.conclude(job.paths, sent)
      return recording
    } catch (err) {
      if (!this.#closing.signal.aborted) {
        log.error({ err }, 'a complete recording could not be finished: the next start tries again')
      }
      return undefined
    }
  }

  /** Compresses a recording. If ffmpeg fails, resolves to the recording as WAV. */
  async #compress(job: Job, format: Format, log: FastifyBaseLogger): Promise<FinishedRecording> {
    const { recording, paths } = job
    const { options, directory, token } = this.#deps
    if (recording.format !== 'wav') return recording
    const { encryption, ffmpeg, sha256 } = options
    const location = directory.compressedPath(paths)
    const temporary = temporaryName(location, token)
    try {
      await compress(recording.location, temporary, {
        ffmpeg,
        format,
        encryption,
        signal: this.#closing.signal
      })
    } catch (err) {
      if (this.#closing.signal.aborted) throw err
      log.error({ err }, 'the recording could not be compressed: it stays a WAV')
      return recording
    }
    const compressed = {
      ...recording,
      location,
      format,
      bytes: (await lstat(temporary)).size,
      ...(sha256 && { sha256: await hashPath(temporary) })
    }
    await rename(temporary, location)
    await this.#save(job, compressed)
    return compressed
  }

  async #send(job: Job, log: FastifyBaseLogger, onFailure: () => void): Promise<FinishedRecording> {
    for (
      let attempt = job.attempts + 1, wait = FIRST_RETRY;
      ;
      attempt++, wait = Math.min(wait * 2, LAST_RETRY)
    ) {
      try {
        return await this.#sending.run(() => this.#sendOnce(job, attempt))
      } catch (cause) {
        this.#closing.signal.throwIfAborted()
        const err = new ERR_RECORDING_SINK(job.recording.location, reasonOf(cause), { cause })
        log.error(
          { err, attempt },
          `the recording could not be sent: it stays on this disk and is sent again in ${wait} ms`
        )
        onFailure()
      }
      await sleep(wait, undefined, { signal: this.#closing.signal, ref: false })
    }
  }

  async #sendOnce({ stream, recording }: Job, attempt: number): Promise<FinishedRecording> {
    const { options, directory, logger } = this.#deps
    const { sink } = options
    if (sink === undefined) return recording
    const name = relative(directory.path, recording.location).split(sep).join('/')
    const contentType = recording.encrypted
      ? 'application/octet-stream'
      : contentTypeOf(recording.format as Format)
    const patience = new Patience(options.writeTimeout, this.#closing.signal)
    const opening = SinkWriter.open(sink, stream, { name, contentType, recording, attempt }, logger)
    try {
      const writer = await patience.until(opening)
      const fd = await openRegular(recording.location, 'r')
      for await (const chunk of createReadStream('', { fd })) {
        await patience.until(settled((done) => writer.write(chunk as Buffer, done)))
      }
      await patience.until(settled((done) => writer.end(done)))
      return writer.describe(recording, name)
    } catch (cause) {
      const error = toError(cause)
      // If sink() resolves to a Writable after the timeout, the Writable is destroyed, too.
      opening.then(
        (writer) => writer.destroy(error),
        () => {}
      )
      throw error
    } finally {
      patience.close()
    }
  }

  async #save(
    { paths, segment, stream, listen }: Job,
    recording: FinishedRecording
  ): Promise<FinishedRecording> {
    return await saveSidecar(
      paths,
      segment,
      this.#deps.token,
      { call: stream.call, listen },
      recording,
      this.#deps.options.fsync !== 'never'
    )
  }
}

/** A gate that lets a limited number of operations run at once. Further operations wait in order. */
class Gate {
  readonly #limit: number
  readonly #waiting: Array<() => void> = []
  #busy = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#busy >= this.#limit) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#busy++
    try {
      return await operation()
    } finally {
      const next = this.#waiting.shift()
      // The next operation in the queue takes the place of this operation.
      if (next) next()
      else this.#busy--
    }
  }
}

/** A timeout for each operation of a series. All operations end when the server closes. */
class Patience {
  readonly #closing: AbortSignal
  readonly #timer: NodeJS.Timeout
  #giveUp: (reason: Error) => void = () => {}
  readonly #abort = (): void => {
    const { reason } = this.#closing as { reason: unknown }
    this.#giveUp(toError(reason))
  }

  /** `ms`: the timeout of each operation. `closing`: aborts when the server closes. */
  constructor(ms: number, closing: AbortSignal) {
    this.#closing = closing
    this.#timer = setTimeout(() => this.#giveUp(new Error(`it accepted no data for ${ms} ms`)), ms).unref()
    closing.addEventListener('abort', this.#abort)
  }

  /**
   * Resolves as `operation` does. Rejects when `operation` takes too long or the server closes, even if
   * `operation` never settles.
   */
  async until<T>(operation: Promise<T>): Promise<T> {
    this.#timer.refresh()
    return await new Promise((resolve, reject) => {
      this.#giveUp = reject
      operation.then(resolve, reject)
      if (this.#closing.aborted) this.#abort()
    })
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#closing.removeEventListener('abort', this.#abort)
  }
}
