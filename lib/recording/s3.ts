import { PassThrough, Writable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type PutObjectCommandInput,
  type S3Client,
  type UploadPartCommand
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import type { Sink, SinkContext } from './options.js'
import type { RecordedStream } from './types.js'

/** ms that putting in order what a broken-off upload left may take */
const CLEAN_TIMEOUT = 10_000
const MAX_LEFTOVERS = 1_000
const MIB = 1024 * 1024
const MIN_PART = 5 * MIB

export interface S3SinkOptions {
  /** of `@aws-sdk/client-s3`, configured by the application: region, credentials, endpoint */
  client: S3Client
  bucket: string
  /** Default: the recording's path below `directory`, or its default name */
  key?: (stream: RecordedStream, context: SinkContext) => string
  /** put before every key */
  prefix?: string
  /** bytes of a part, and what an upload keeps in memory at most twice: 5 MiB (the least S3 takes, and the default) or more. S3 takes 10,000 parts */
  partSize?: number
  /** ms that one request may take. Default: 60,000 */
  requestTimeout?: number
  /** more of PutObject: ServerSideEncryption, StorageClass, Tagging, … */
  params?: Partial<PutObjectCommandInput>
}

/** An upload that S3 still has parts of. */
interface Leftover {
  Bucket: string | undefined
  Key: string | undefined
  UploadId: string | undefined
}

/**
 * The option `recording.sink` for S3 and what speaks its protocol: a multipart upload (`@aws-sdk/lib-storage`), one
 * part at a time. What fails is aborted, so that no parts are left; where S3 is away at that moment, that is made up
 * for before the same recording is tried again, or the next is sent. Needs the optional peer dependencies
 * `@aws-sdk/client-s3` and `@aws-sdk/lib-storage`.
 */
export function s3Sink(options: S3SinkOptions): Sink {
  const { client, bucket, prefix = '', partSize = MIN_PART, requestTimeout = 60_000, params } = options
  if (partSize < MIN_PART) {
    throw new TypeError(`s3Sink: partSize is ${partSize}, S3 takes no parts of less than ${MIN_PART} bytes`)
  }
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
      // S3 may have been away when that was tried before
      onDone: clean,
      params: { ContentType: context.contentType, ...params, Bucket: bucket, Key: key },
      onLeftover: (leftover) => {
        if (leftovers.size < MAX_LEFTOVERS) leftovers.add(leftover)
      }
    })
  }
}

/** Uploads of this key that an earlier attempt, perhaps of another process, left. Never rejects: not every S3 lists them, nor may every user. */
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
    // a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) does it instead
  }
}

/** Resolves to whether nothing is left of it. */
async function abortUpload(client: S3Client, leftover: Leftover): Promise<boolean> {
  try {
    await client.send(new AbortMultipartUploadCommand(leftover), {
      abortSignal: AbortSignal.timeout(CLEAN_TIMEOUT)
    })
    return true
  } catch (error) {
    return error instanceof Error && error.name === 'NoSuchUpload'
  }
}

type Callback = (error?: Error | null) => void

interface S3UploadOptions {
  client: S3Client
  /** bytes */
  partSize: number
  /** ms */
  requestTimeout: number
  params: PutObjectCommandInput & { Bucket: string; Key: string }
  /** it is there; the upload finishes when that is done, too */
  onDone: () => Promise<void>
  /** parts of it are still there: S3 could not be told to remove them */
  onLeftover: (leftover: Leftover) => void
}

/** A Writable whose bytes become an object of S3; it finishes when S3 has it. Destroyed, it leaves nothing behind. */
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
    // its end is told by the upload
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
      (result) => {
        this.#keep(result)
      },
      (error: Error) => {
        this.destroy(error)
      }
    )
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: Callback): void {
    if (this.#body.write(chunk)) done()
    else {
      this.#body.once('drain', () => {
        done()
      })
    }
  }

  override _final(done: Callback): void {
    this.#body.end()
    this.#done
      .then(() => this.#options.onDone())
      .then(() => {
        done()
      }, done)
  }

  override _destroy(error: Error | null, done: Callback): void {
    if (this.writableFinished) return done(error)
    // an upload that is merely aborted waits for a body that does not end, and leaves its parts
    this.#body.destroy(error ?? new Error('the upload was broken off'))
    this.#broken.abort()
    this.#done.then(
      () => {
        done(error)
      },
      () => {
        done(error)
      }
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

  /** The client, with a limit to each request; none outlives this upload but the one that cleans up. */
  #limited(): S3Client {
    const { client, requestTimeout, onLeftover } = this.#options
    const send = async (command: UploadPartCommand | AbortMultipartUploadCommand): Promise<unknown> => {
      const limit = AbortSignal.timeout(requestTimeout)
      if (!(command instanceof AbortMultipartUploadCommand)) {
        return await client.send(command, { abortSignal: AbortSignal.any([limit, this.#broken.signal]) })
      }
      const { Bucket, Key, UploadId } = command.input
      // what went wrong before is what counts
      return await client.send(command, { abortSignal: limit }).catch(() => {
        onLeftover({ Bucket, Key, UploadId })
      })
    }
    return Object.create(client, { send: { value: send } }) as S3Client
  }
}
