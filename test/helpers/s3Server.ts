// A real S3 API over HTTP, in a process that can be killed. argv: directory of its objects, port, ms that each part
// of an upload takes. s3rver lacks two operations, AbortMultipartUpload and ListMultipartUploads: they are added
// here, on its store, as the S3 API reference describes them.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const BUCKET = 'calls'
interface Server { callback (): (request: IncomingMessage, response: ServerResponse) => void, store: { getResourcePath (bucket: string, key: undefined, resource: 'uploads'): string, putBucket (name: string): Promise<void> } }

const S3rver = createRequire(import.meta.url)('s3rver') as new (options: Record<string, unknown>) => Server
const [directory = '', port = '', partDelay = '0'] = process.argv.slice(2)
mkdirSync(directory, { recursive: true })
const s3 = new S3rver({ directory, silent: true, resetOnClose: false, allowMismatchedSignatures: true })
await s3.store.putBucket(BUCKET)
const handle = s3.callback()
const uploads = s3.store.getResourcePath(BUCKET, undefined, 'uploads')

function listUploads (): string {
  const found = readdirSync(uploads, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => `<Upload><Key>${readFileSync(join(uploads, name, 'key'), 'utf8')}</Key><UploadId>${name}</UploadId></Upload>`)
  return `<?xml version="1.0" encoding="UTF-8"?><ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>${BUCKET}</Bucket><IsTruncated>false</IsTruncated>${found.join('')}</ListMultipartUploadsResult>`
}

createServer((request, response) => {
  const { searchParams } = new URL(request.url ?? '/', 'http://s3')
  const upload = searchParams.get('uploadId')
  if (request.method === 'DELETE' && upload !== null) {
    rmSync(join(uploads, upload.replace(/[^0-9a-f]/g, '')), { recursive: true, force: true })
    response.writeHead(204).end()
  } else if (request.method === 'GET' && searchParams.has('uploads')) {
    mkdirSync(uploads, { recursive: true })
    response.writeHead(200, { 'content-type': 'application/xml' }).end(listUploads())
  } else if (request.method === 'PUT' && upload !== null) {
    setTimeout(() => { handle(request, response) }, Number(partDelay))
  } else {
    handle(request, response)
  }
}).listen(Number(port), '127.0.0.1', () => { process.send?.('listening') })
