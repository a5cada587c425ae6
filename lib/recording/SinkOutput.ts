import { createHash, randomUUID } from 'node:crypto'
import { finished } from 'node:stream/promises'
import type { Listen } from '../model/schema.js'
import { ERR_RECORDING_SINK } from '../model/errors.js'
import { contentTypeOf } from './formats.js'
import { defaultName, segmentOf, segmentSuffix } from './names.js'
import type { ResolvedRecordingOptions, Sink, SinkWritable } from './options.js'
import type { Done, Output, Summary } from './Output.js'
import { WAV } from './paths.js'
import { reasonOf } from './reasons.js'
import type { FinishedRecording } from './schema.js'
import type { RecordedStream } from './types.js'
import { buildWavHeader, durationOf, WAV_HEADER_BYTES } from '../pcm/wavHeader.js'

/** A recording that goes to an application's Writable as it is spoken: a WAV whose header says that its length is unknown. */
export class SinkOutput implements Output {
  readonly name: string
  readonly #stream: RecordedStream
  readonly #sink: Sink
  readonly #hash: ReturnType<typeof createHash> | undefined
  #writable: SinkWritable | undefined
  #error: Error | undefined
  #dataBytes = 0
  #done: Done = () => {}

  constructor(stream: RecordedStream, sink: Sink, options: Pick<ResolvedRecordingOptions, 'sha256'>) {
    this.#stream = stream
    this.#sink = sink
    this.name = `${defaultName(stream)}${segmentSuffix(segmentOf(stream.listen))}${WAV}`
    this.#hash = options.sha256 ? createHash('sha256') : undefined
  }

  get dataBytes(): number {
    return this.#dataBytes
  }

  async open(): Promise<void> {
    try {
      const writable: unknown = await this.#sink(this.#stream, {
        name: this.name,
        contentType: contentTypeOf('wav'),
        attempt: 1
      })
      this.#writable = checkWritable(writable)
    } catch (cause) {
      throw this.#failure(cause)
    }
    // for as long as it lives: a stream may fail at any time
    this.#writable.on('error', (error) => {
      this.#onError(error)
    })
    this.#writable.once('close', () => {
      this.#onClose()
    })
    await new Promise<void>((resolve, reject) => {
      this.#write(buildWavHeader(this.#stream, undefined), (error) => {
        if (error) reject(error)
        else resolve()
      })
    })
  }

  append(chunk: Buffer, length: number, done: Done): void {
    // a stream may keep what it is given for longer than it says
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
    const writable = this.#writable
    if (writable === undefined) throw this.#failure(new Error('it is not open'))
    if (this.#error) throw this.#failure(this.#error)
    writable.end()
    try {
      await finished(writable, { readable: false })
    } catch (cause) {
      throw this.#failure(cause)
    }
    const { startedAt, endedAt, levels, gaps, pauses } = summary
    const { sampleRate, channels } = this.#stream
    return {
      id: randomUUID(),
      state: 'saved',
      location: locationOf(writable, this.name),
      format: 'wav',
      bytes: WAV_HEADER_BYTES + this.#dataBytes,
      durationMs: Math.round(durationOf(this.#stream, this.#dataBytes)),
      sampleRate,
      channels,
      startedAt,
      endedAt,
      ...(levels && { levels }),
      gaps,
      pauses,
      ...(this.#hash && { sha256: this.#hash.digest('hex') }),
      ...writable.details
    }
  }

  async follow(_listen: Listen, recording: FinishedRecording): Promise<FinishedRecording> {
    return recording
  }

  async salvage(_listen: Listen, _summary: Summary, error: Error): Promise<undefined> {
    this.#writable?.destroy(error)
  }

  async abandon(): Promise<void> {
    this.#writable?.destroy(this.#failure(new Error('the server was closed before the stream ended')))
  }

  #write(bytes: Buffer, done: Done): void {
    const writable = this.#writable
    if (this.#error || writable === undefined) return done(this.#failure(this.#error))
    this.#done = done
    this.#hash?.update(bytes)
    try {
      writable.write(bytes, (error) => {
        if (error) this.#settle(this.#failure(error))
        else if (writable.writableNeedDrain) {
          writable.once('drain', () => {
            this.#settle()
          })
        } else this.#settle()
      })
    } catch (cause) {
      this.#onError(cause)
    }
  }

  /** Once for each write, whether its callback, the drain or an error comes first. */
  #settle(error?: Error): void {
    const done = this.#done
    this.#done = () => {}
    done(error)
  }

  #onError(cause: unknown): void {
    this.#error ??= cause instanceof Error ? cause : new Error(String(cause))
    this.#settle(this.#failure(this.#error))
  }

  #onClose(): void {
    if (!this.#writable?.writableFinished) {
      this.#onError(this.#error ?? new Error('it was closed before the end'))
    }
  }

  #failure(cause: unknown): Error {
    return new ERR_RECORDING_SINK(this.name, reasonOf(cause), { cause })
  }
}

/** Throws when what an application's sink() returned can't be written to. */
export function checkWritable(writable: unknown): SinkWritable {
  const is = (name: 'write' | 'end' | 'on'): boolean =>
    typeof writable === 'object' &&
    writable !== null &&
    name in writable &&
    typeof (writable as SinkWritable)[name] === 'function'
  if (is('write') && is('end') && is('on')) return writable as SinkWritable
  throw new Error(`recording.sink returned ${writable === null ? 'null' : typeof writable}, not a Writable`)
}

/** Where the sink says that it put the recording, or else what fs.WriteStream calls it, or else its name. */
export function locationOf(writable: SinkWritable, name: string): string {
  if (typeof writable.location === 'string') return writable.location
  if ('path' in writable && typeof writable.path === 'string') return writable.path
  return name
}
