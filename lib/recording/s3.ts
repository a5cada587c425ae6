import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type PutObjectCommandInput,
  type S3Client
} from '@aws-sdk/client-s3'
import type { Sink, SinkContext } from './options.js'
import { S3Upload } from './S3Upload.js'
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
export interface Leftover {
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
