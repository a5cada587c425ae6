import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { GetObjectCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import type { Test } from 'tap'
import { freePort } from './redis.js'
import { temporaryDirectory } from './recordings.js'
import { V8_OPTIONS } from './v8Options.js'

export const BUCKET = 'calls'

export interface S3 {
  client: S3Client
  /** Starts the server. `partDelay`: ms by which the server delays each part of an upload. */
  start(partDelay?: number): Promise<void>
  kill(): Promise<void>
  /**
   * Resolves when the next part of an upload arrives. At that time the client already knows the upload's id.
   */
  uploading(): Promise<void>
  get(key: string): Promise<Buffer>
  /** Resolves to the keys of the multipart uploads that are neither completed nor aborted. */
  unfinished(): Promise<string[]>
}

const SERVER = join(import.meta.dirname, 's3Server.js')

/** Returns a real S3 server on loopback, which the test starts. Its objects survive a kill. */
export async function s3(t: Test): Promise<S3> {
  const directory = join(await temporaryDirectory(t), 'objects')
  const port = await freePort()
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
    requestChecksumCalculation: 'WHEN_REQUIRED'
  })
  let child: ChildProcess | undefined
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  t.teardown(async () => {
    client.destroy()
    await kill()
  })
  return {
    client,
    kill,
    async start(partDelay = 0) {
      child = spawn(process.execPath, [...V8_OPTIONS, SERVER, directory, String(port), String(partDelay)], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        env: { NODE_NO_WARNINGS: '1' }
      })
      await once(child, 'message')
    },
    async uploading() {
      if (child !== undefined) await once(child, 'message')
    },
    async get(key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }))
      return Buffer.from((await Body?.transformToByteArray()) ?? [])
    },
    async unfinished() {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }))
      return Uploads.map((upload) => upload.Key ?? '')
    }
  }
}
