import { PassThrough, Writable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  type PutObjectCommandInput,
  type S3Client,
  type UploadPartCommand
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import type { Leftover } from './s3.js'

type Callback = (error?: Error | null) => void

export interface S3UploadOptions {
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
export class S3Upload extends Writable {
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
