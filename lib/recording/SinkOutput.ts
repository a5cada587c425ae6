import { createHash, randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Listen } from '../model/schema.js'
import { ERR_RECORDING_SINK } from '../model/errors.js'
import { settled } from './RecordingFile.js'
import { contentTypeOf } from './formats.js'
import { defaultName, segmentOf, segmentSuffix, WAV } from './directory/names.js'
import type { ResolvedRecordingOptions, Sink } from './options.js'
import type { Done, Output, Summary } from './types.js'
import { reasonOf } from './reasons.js'
import type { FinishedRecording } from '../model/recording.js'
import { SinkWriter } from './SinkWriter.js'
import type { RecordedStream } from './types.js'
import { buildStreamHeader, durationOf, STREAM_HEADER_BYTES } from '../pcm/wavHeader.js'

/** A recording that is streamed to an application's Writable: a WAV whose header gives its length as unknown. */
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
    await settled((done) => {
      this.#write(buildStreamHeader(this.#stream), done)
    })
  }

  append(chunk: Buffer, length: number, done: Done): void {
    // a stream may keep its chunk even after its callback: it gets a copy
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
      writer.end((error) => {
        done(error && this.#failure(error))
      })
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
    this.#writer.write(bytes, (error) => {
      done(error && this.#failure(error))
    })
  }

  #failure(cause: unknown): Error {
    return new ERR_RECORDING_SINK(this.name, reasonOf(cause), { cause })
  }
}
