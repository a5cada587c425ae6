// A real S3 API over HTTP, in a process that a test can kill. argv: directory of the objects, port, ms by
// which it delays each part of an upload. It sends its parent a message when it listens, and for each part
// that arrives.
// The package s3rver lacks AbortMultipartUpload and ListMultipartUploads. This file adds them on top of its
// store, as the S3 API reference describes them.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
// @ts-expect-error s3rver has no types
import Untyped from 's3rver'

const BUCKET = 'calls'
interface Server {
  callback(): (request: IncomingMessage, response: ServerResponse) => void
  store: {
    getResourcePath(bucket: string, key: undefined, resource: 'uploads'): string
    putBucket(name: string): Promise<void>
  }
}

const [directory = '', port = '', partDelay = '0'] = process.argv.slice(2)
mkdirSync(directory, { recursive: true })
const S3rver = Untyped as new (options: Record<string, unknown>) => Server
const s3 = new S3rver({ directory, silent: true, resetOnClose: false, allowMismatchedSignatures: true })
const handle = s3.callback()
const uploads = s3.store.getResourcePath(BUCKET, undefined, 'uploads')

const pathOf = (upload: string): string => join(uploads, upload.replace(/[^0-9a-f]/g, ''))

function listUploads(): string {
  const found = readdirSync(uploads, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(uploads, entry.name, 'key')))
    .map(
      ({ name }) =>
        `<Upload><Key>${readFileSync(join(uploads, name, 'key'), 'utf8')}</Key><UploadId>${name}</UploadId></Upload>`
    )
  return `<?xml version="1.0" encoding="UTF-8"?><ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>${BUCKET}</Bucket><IsTruncated>false</IsTruncated>${found.join('')}</ListMultipartUploadsResult>`
}

// Ends when the parent process ends, because then the test has ended.
process.on('disconnect', () => {
  process.exit()
})

const server = createServer((request, response) => {
  const { searchParams } = new URL(request.url ?? '/', 'http://s3')
  const upload = searchParams.get('uploadId')
  if (request.method === 'DELETE' && upload !== null) {
    rmSync(pathOf(upload), { recursive: true, force: true })
    response.writeHead(204).end()
  } else if (request.method === 'GET' && searchParams.has('uploads')) {
    mkdirSync(uploads, { recursive: true })
    response.writeHead(200, { 'content-type': 'application/xml' }).end(listUploads())
  } else if (request.method === 'PUT' && upload !== null) {
    process.send?.('part')
    setTimeout(() => {
      // Without this check, s3rver would accept a part of an upload that has been aborted.
      if (existsSync(pathOf(upload))) handle(request, response)
      else {
        response
          .writeHead(404, { 'content-type': 'application/xml' })
          .end('<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchUpload</Code></Error>')
      }
    }, Number(partDelay))
  } else {
    handle(request, response)
  }
})
s3.store.putBucket(BUCKET).then(
  () => {
    server.listen(Number(port), '127.0.0.1', () => {
      process.send?.('listening')
    })
  },
  (error: unknown) => {
    throw error
  }
)
