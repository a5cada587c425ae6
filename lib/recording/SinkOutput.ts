import { createHash, randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Listen } from '../model/schema.js'
import { ERR_RECORDING_SINK } from '../model/errors.js'
import { settled } from './RecordingFile.js'
import { contentTypeOf } from './formats.js'
import { defaultName, segmentOf, segmentSuffix, WAV } from './directory/names.js'
import type { ResolvedRecordingOptions, Sink, SinkContext, SinkWritable } from './options.js'
import type { Done, Output, Summary, RecordedStream } from './types.js'
import { reasonOf } from './directory/files.js'
import { FinishedRecordingSchema, type FinishedRecording } from '../model/recording.js'
import { buildStreamHeader, durationOf, STREAM_HEADER_BYTES } from '../pcm/wavHeader.js'
import { finished } from 'node:stream'
import { Value } from '@sinclair/typebox/value'
import { frozenJson, isThenable, toError } from '../model/json.js'

/** The output of a recording to an application's Writable, as a WAV whose header says that its length is unknown. */
export class SinkOutput implements Output {
  readonly name: string
  readonly #stream: RecordedStream
  readonly #sink: Sink
  readonly #logger: FastifyBaseLogger
  readonly #hash: ReturnType<typeof createHash> | undefined
  #writer: SinkWriter | undefined
  #dataBytes = 0

  constructor(
    stream: RecordedStream,
    sink: Sink,
    { sha256, logger }: Pick<ResolvedRecordingOptions, 'sha256'> & { logger: FastifyBaseLogger }
  ) {
    this.#stream = stream
    this.#sink = sink
    this.#logger = logger
    this.name = `${defaultName(stream)}${segmentSuffix(segmentOf(stream.listen))}${WAV}`
    this.#hash = sha256 ? createHash('sha256') : undefined
  }

  get dataBytes(): number {
    return this.#dataBytes
  }

  async open(): Promise<void> {
    const context = { name: this.name, contentType: contentTypeOf('wav'), attempt: 1 }
    try {
      this.#writer = await SinkWriter.open(this.#sink, this.#stream, context, this.#logger)
    } catch (cause) {
      throw this.#failure(cause)
    }
    await settled((done) => this.#write(buildStreamHeader(this.#stream), done))
  }

  append(chunk: Buffer, length: number, done: Done): void {
    // The Writable may use its chunk even after its callback, so it gets a copy.
    this.#write(Buffer.from(chunk.subarray(0, length)), (error) => {
      if (!error) this.#dataBytes += length
      done(error)
    })
  }

  checkpoint(done: Done): void {
    done()
  }

  note(): void {}

  async complete(_listen: Listen, summary: Summary): Promise<FinishedRecording> {
    const writer = this.#writer
    if (writer === undefined) throw this.#failure(new Error('it is not open'))
    await settled((done) => {
      writer.end((error) => done(error && this.#failure(error)))
    })
    const { startedAt, endedAt, levels, gaps, pauses } = summary
    const { sampleRate, channels } = this.#stream
    const recording: FinishedRecording = {
      id: randomUUID(),
      state: 'saved',
      location: this.name,
      format: 'wav',
      bytes: STREAM_HEADER_BYTES + this.#dataBytes,
      durationMs: Math.round(durationOf(this.#stream, this.#dataBytes)),
      sampleRate,
      channels,
      startedAt,
      endedAt,
      ...(levels && { levels }),
      gaps,
      pauses,
      ...(this.#hash && { sha256: this.#hash.digest('hex') })
    }
    return writer.describe(recording, this.name)
  }

  async follow(_listen: Listen, recording: FinishedRecording): Promise<FinishedRecording> {
    return recording
  }

  async salvage(_listen: Listen, _summary: Summary, error: Error): Promise<undefined> {
    this.#writer?.destroy(error)
  }

  async abandon(): Promise<void> {
    this.#writer?.destroy(this.#failure(new Error('the server was closed before the stream ended')))
  }

  #write(bytes: Buffer, done: Done): void {
    if (this.#writer === undefined) return done(this.#failure(new Error('it is not open')))
    this.#hash?.update(bytes)
    this.#writer.write(bytes, (error) => done(error && this.#failure(error)))
  }

  #failure(cause: unknown): Error {
    return new ERR_RECORDING_SINK(this.name, reasonOf(cause), { cause })
  }
}

/** The methods of a Writable that Node calls, often in a later tick, where an error that they throw can't be caught. */
const METHODS = [
  '_construct',
  '_write',
  '_writev',
  '_final',
  '_destroy',
  '_transform',
  '_flush',
  '_read'
] as const

/** The keys of a recording that the `details` of a sink never replace. */
const OURS = ['id', 'state', 'segments'] as const

/**
 * The writer of one recording into an application's Writable, one operation at a time. If the Writable throws, rejects,
 * emits `error` or closes early, the operation under way and all later ones fail.
 */
export class SinkWriter {
  readonly #writable: SinkWritable
  readonly #logger: FastifyBaseLogger
  #error: Error | undefined
  #finished = false
  #done: Done = () => {}
  readonly #accepted = (): void => this.#settle()

  private constructor(writable: SinkWritable, logger: FastifyBaseLogger) {
    this.#writable = writable
    this.#logger = logger
  }

  /**
   * Calls the application's sink(), and resolves to the writer of its Writable. Rejects with the application's error.
   */
  static async open(
    sink: Sink,
    stream: RecordedStream,
    context: SinkContext,
    logger: FastifyBaseLogger
  ): Promise<SinkWriter> {
    // Only microtasks run before #adopt(), so that a Writable that fails in the next tick has its `error`
    // listener.
    await Promise.resolve()
    const returned: unknown = sink(stream, context)
    const writable = checkWritable(isThenable(returned) ? await returned : returned)
    const writer = new SinkWriter(writable, logger)
    writer.#adopt()
    return writer
  }

  /** Writes `bytes`. The caller must not change them afterwards, since the Writable may keep them. */
  write(bytes: Buffer, done: Done): void {
    if (this.#error) return done(this.#error)
    this.#done = done
    this.#call(() =>
      this.#writable.write(bytes, (error) => {
        if (error) this.#fail(error)
        else if (this.#writable.writableNeedDrain) this.#writable.once('drain', this.#accepted)
        else this.#settle()
      })
    )
  }

  /** Ends the Writable. Calls `done` when the Writable has finished, which means that its bytes are saved. */
  end(done: Done): void {
    if (this.#error) return done(this.#error)
    this.#done = done
    this.#call(() => {
      finished(this.#writable, { readable: false }, (error) => {
        if (error) return this.#fail(error)
        this.#finished = true
        this.#settle()
      })
      return this.#writable.end()
    })
  }

  /** Destroys a Writable that has not finished. */
  destroy(error: Error): void {
    this.#error ??= error
    if (typeof this.#writable.destroy === 'function') this.#call(() => this.#writable.destroy(error))
  }

  /**
   * Returns `recording` with the `location` and the `details` of the Writable. `name`: the location if the
   * Writable has none. Never throws. Logs details that are not plain JSON, and leaves them out.
   */
  describe(recording: FinishedRecording, name: string): FinishedRecording {
    let own = { ...recording, location: name }
    try {
      own = { ...recording, location: locationOf(this.#writable, name) }
      const { details } = this.#writable
      if (typeof details !== 'object' || details === null) return own
      // Details must be JSON, since the sidecar and the store keep the recording as JSON.
      const described = { ...own, ...frozenJson(details) }
      for (const key of OURS) if (key in described) Object.assign(described, { [key]: own[key] })
      if (Value.Check(FinishedRecordingSchema, described)) return described
      const [wrong] = Value.Errors(FinishedRecordingSchema, described)
      throw new Error(`details${wrong?.path ?? ''}: ${wrong?.message ?? 'wrong'}`)
    } catch (err) {
      this.#logger.warn(
        { err },
        'the details of the sink are not plain JSON: they were left out of the recording'
      )
      return own
    }
  }

  /** Adds the listeners to the Writable, so that this writer handles its errors from now on. */
  #adopt(): void {
    const writable = this.#writable
    const fail = (error: unknown): void => this.#fail(error)
    for (const name of METHODS) guard(writable, name, fail)
    for (const name of ['emit', 'destroy'] as const) guard(writable, name, fail)
    // The listener is never removed, since a stream may fail at any time.
    writable.on('error', fail)
    writable.on('close', () => {
      if (!this.#finished && !writable.writableFinished) fail(new Error('it was closed before the end'))
    })
  }

  #call(operation: () => unknown): void {
    try {
      const returned = operation()
      if (isThenable(returned)) {
        returned.then(undefined, (error: unknown) => this.#fail(error))
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(cause: unknown): void {
    this.#error ??= toError(cause)
    this.#settle(this.#error)
  }

  /** Ends the operation under way, once: at its callback, an event or an error, whichever comes first. */
  #settle(error?: Error): void {
    const done = this.#done
    this.#done = () => {}
    done(error)
  }
}

/** Replaces a method of the application's Writable with one that neither throws nor rejects. */
function guard(
  writable: SinkWritable,
  name: (typeof METHODS)[number] | 'emit' | 'destroy',
  fail: (error: unknown) => void
): void {
  const method: unknown = Reflect.get(writable, name)
  if (typeof method !== 'function') return
  const value = function (this: unknown, ...args: unknown[]): unknown {
    // The last argument of these methods is a callback. If the method throws, the callback gets the error.
    const callback = name.startsWith('_') ? args.at(-1) : undefined
    const failed = (error: unknown): void => {
      fail(error)
      if (typeof callback === 'function') callback(toError(error))
    }
    try {
      const returned: unknown = Reflect.apply(method, this, args)
      if (isThenable(returned)) returned.then(undefined, failed)
      return returned
    } catch (error) {
      failed(error)
      return true
    }
  }
  Object.defineProperty(writable, name, { value, configurable: true, writable: true })
}

/** Returns the result of an application's sink() as a Writable. Throws if the result is no Writable. */
function checkWritable(writable: unknown): SinkWritable {
  const is = (name: 'write' | 'end' | 'on' | 'once'): boolean =>
    typeof writable === 'object' &&
    writable !== null &&
    typeof (writable as Partial<SinkWritable>)[name] === 'function'
  if (is('write') && is('end') && is('on') && is('once')) return writable as SinkWritable
  throw new Error(`recording.sink returned ${writable === null ? 'null' : typeof writable}, not a Writable`)
}

/**
 * Returns the `location` of the Writable. If there is none, returns the `path` of an fs.WriteStream. A
 * Writable that has neither gets the recording's name.
 */
function locationOf(writable: SinkWritable, name: string): string {
  if (typeof writable.location === 'string') return writable.location
  if ('path' in writable && typeof writable.path === 'string') return writable.path
  return name
}
