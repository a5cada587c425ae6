import { PassThrough, Writable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type PutObjectCommandInput,
  type S3Client,
  type UploadPartCommand
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { Type, type TSchema } from '@sinclair/typebox'
import { isError } from '../model/json.js'
import { checkOptions, MAX_TIMER_MS, MIB } from '../model/checkOptions.js'
import type { Sink, SinkContext } from './options.js'
import type { RecordedStream } from './types.js'

/** ms that the removal of the parts of an aborted upload may take */
const CLEAN_TIMEOUT = 10_000
const MAX_LEFTOVERS = 1_000
const MIN_PART = 5 * MIB

export interface S3SinkOptions {
  /** a client of `@aws-sdk/client-s3`, with the application's region, credentials and endpoint */
  client: S3Client
  bucket: string
  /** Returns the key. Default: the recording's path below `directory`, or its default name */
  key?: ((stream: RecordedStream, context: SinkContext) => string) | undefined
  /** prefix of all keys */
  prefix?: string | undefined
  /**
   * bytes of a part of the upload. Default and minimum: 5 MiB. An upload keeps at most two parts in memory; S3 accepts
   * 10,000 parts.
   */
  partSize?: number | undefined
  /** ms that one request may take. Default: 60,000 */
  requestTimeout?: number | undefined
  /** further parameters of PutObject: ServerSideEncryption, StorageClass, Tagging, … */
  params?: Partial<PutObjectCommandInput> | undefined
}

const S3SinkOptionsSchema = Type.Object(
  {
    client: Type.Object({}, { additionalProperties: true, description: 'an S3Client of @aws-sdk/client-s3' }),
    bucket: Type.String({ minLength: 1 }),
    key: Type.Optional(Type.Function([], Type.Unknown())),
    prefix: Type.Optional(Type.String()),
    partSize: Type.Optional(
      Type.Integer({ minimum: MIN_PART, description: `S3 takes no parts of less than ${MIN_PART} bytes` })
    ),
    requestTimeout: Type.Optional(Type.Number({ minimum: 50, maximum: MAX_TIMER_MS, description: 'ms' })),
    params: Type.Optional(Type.Object({}, { additionalProperties: true }))
  } satisfies Record<keyof S3SinkOptions, TSchema>,
  { additionalProperties: false }
)

/** An aborted upload whose parts S3 still stores. */
interface Leftover {
  Bucket: string | undefined
  Key: string | undefined
  UploadId: string | undefined
}

/**
 * Returns a value for the option `recording.sink` that sends recordings to S3, or to a server with the same protocol.
 * It makes a multipart upload (`@aws-sdk/lib-storage`), one part at a time. A failed upload is aborted, so that S3
 * stores no parts. If S3 can't be reached then, the upload is aborted before the next attempt or the next recording.
 * Throws FST_JAMBONZ_OPTIONS for a wrong or unknown option. Needs the optional peer dependencies `@aws-sdk/client-s3` and
 * `@aws-sdk/lib-storage`.
 */
export function s3Sink(options: S3SinkOptions): Sink {
  checkOptions(S3SinkOptionsSchema, options, 'options of s3Sink()')
  const { client, bucket, prefix = '', partSize = MIN_PART, requestTimeout = 60_000, params } = options
  const leftovers = new Set<Leftover>()
  return async (stream, context) => {
    const key = prefix + (options.key?.(stream, context) ?? context.name)
    const clean = async (): Promise<void> => {
      for (const leftover of leftovers) if (await abortUpload(client, leftover)) leftovers.delete(leftover)
      if (context.attempt > 1) await abortUploadsOf(client, bucket, key)
    }
    await clean()
    return new S3Upload({
      client,
      partSize,
      requestTimeout,
      // An earlier attempt to abort uploads may not have reached S3, so the uploads are aborted again.
      onDone: clean,
      params: { ContentType: context.contentType, ...params, Bucket: bucket, Key: key },
      onLeftover: (leftover) => {
        if (leftovers.size < MAX_LEFTOVERS) leftovers.add(leftover)
      }
    })
  }
}

/**
 * Aborts the uploads of this key that an earlier attempt left, maybe in another process. Never rejects, since
 * some servers and users may not list uploads.
 */
async function abortUploadsOf(client: S3Client, bucket: string, key: string): Promise<void> {
  try {
    const { Uploads = [] } = await client.send(
      new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: key }),
      { abortSignal: AbortSignal.timeout(CLEAN_TIMEOUT) }
    )
    for (const { Key, UploadId } of Uploads) {
      if (Key === key) await abortUpload(client, { Bucket: bucket, Key, UploadId })
    }
  } catch {
    // A lifecycle rule of the bucket (AbortIncompleteMultipartUpload) removes such uploads instead.
  }
}

/** Aborts an upload. Resolves to true if S3 stores no part of it any more. */
async function abortUpload(client: S3Client, leftover: Leftover): Promise<boolean> {
  try {
    await client.send(new AbortMultipartUploadCommand(leftover), {
      abortSignal: AbortSignal.timeout(CLEAN_TIMEOUT)
    })
    return true
  } catch (error) {
    return isError(error) && error.name === 'NoSuchUpload'
  }
}

type Callback = (error?: Error | null) => void

interface S3UploadOptions {
  client: S3Client
  /** bytes of one part of the upload */
  partSize: number
  /** ms that one request may take */
  requestTimeout: number
  params: PutObjectCommandInput & { Bucket: string; Key: string }
  /** Called when S3 has stored the object. The upload finishes when the promise resolves. */
  onDone: () => Promise<void>
  /** Called if S3 still stores parts, because it could not be reached to remove them. */
  onLeftover: (leftover: Leftover) => void
}

/** A Writable that uploads its bytes to S3. It finishes when S3 has stored the object; destroy() aborts the upload. */
class S3Upload extends Writable {
  readonly location: string
  details: Record<string, unknown> = {}
  readonly #options: S3UploadOptions
  readonly #body: PassThrough
  readonly #broken = new AbortController()
  readonly #done: Promise<unknown>

  constructor(options: S3UploadOptions) {
    super()
    const { params, partSize } = options
    this.#options = options
    this.location = `s3://${params.Bucket}/${params.Key}`
    this.#body = new PassThrough()
    // The upload reports this error, so it is ignored here.
    this.#body.on('error', () => {})
    const upload = new Upload({
      client: this.#limited(),
      params: { ...params, Body: this.#body },
      partSize,
      queueSize: 1,
      leavePartsOnError: false
    })
    this.#done = upload.done()
    this.#done.then(
      (result) => this.#keep(result),
      (error: Error) => this.destroy(error)
    )
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: Callback): void {
    if (this.#body.write(chunk)) done()
    else {
      this.#body.once('drain', () => done())
    }
  }

  override _final(done: Callback): void {
    this.#body.end()
    this.#done.then(() => this.#options.onDone()).then(() => done(), done)
  }

  override _destroy(error: Error | null, done: Callback): void {
    if (this.writableFinished) return done(error)
    // If the body were not destroyed, an aborted upload would wait for its end, and would leave its parts.
    this.#body.destroy(error ?? new Error('the upload was aborted'))
    this.#broken.abort()
    this.#done.then(
      () => done(error),
      () => done(error)
    )
  }

  #keep(result: unknown): void {
    if (typeof result !== 'object' || result === null) return
    if ('ETag' in result && typeof result.ETag === 'string') {
      this.details.etag = result.ETag.replaceAll('"', '')
    }
    if ('VersionId' in result && typeof result.VersionId === 'string') {
      this.details.versionId = result.VersionId
    }
  }

  /** Returns the client with a timeout for each request. All requests but the cleanup end with this upload. */
  #limited(): S3Client {
    const { client, requestTimeout, onLeftover } = this.#options
    const send = async (command: UploadPartCommand | AbortMultipartUploadCommand): Promise<unknown> => {
      const limit = AbortSignal.timeout(requestTimeout)
      if (!(command instanceof AbortMultipartUploadCommand)) {
        return await client.send(command, { abortSignal: AbortSignal.any([limit, this.#broken.signal]) })
      }
      const { Bucket, Key, UploadId } = command.input
      // The error that led to the abort is reported, not the error of this command.
      return await client
        .send(command, { abortSignal: limit })
        .catch(() => onLeftover({ Bucket, Key, UploadId }))
    }
    return Object.create(client, { send: { value: send } }) as S3Client
  }
}
