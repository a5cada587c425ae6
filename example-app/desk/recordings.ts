import { mkdir, readFile, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import type { Listen } from 'fastify-jambonz-listen'
import type { DeskOptions } from './desk.js'

const NEWEST = 50

/** GET /recordings: the newest first, as their sidecars tell; `file` is the WAV's path below /recordings/. */
export default async function recordings (app: FastifyInstance, { environment }: DeskOptions): Promise<void> {
  const root = resolve(environment.RECORDINGS_DIR)
  await mkdir(root, { recursive: true })
  await app.register(fastifyStatic, { root, prefix: '/recordings/', allowedPath: (path) => /^[^.]+(?:\.\d+)?\.wav$/.test(path), decorateReply: false })

  app.get('/recordings', async () => {
    // Their names begin with the time (app.ts), and have a dot only before the extension while they are complete.
    const names = (await readdir(root, { recursive: true })).filter((name) => /^[^.]+\.json$/.test(name)).sort().reverse().slice(0, NEWEST)
    const listens = await Promise.all(names.map((name) => readSidecar(root, name)))
    return listens.filter((listen) => listen?.recording !== undefined)
  })
}

async function readSidecar (root: string, name: string): Promise<Listen & { file: string } | undefined> {
  try {
    return { ...JSON.parse(await readFile(join(root, name), 'utf8')) as Listen, file: name.replace(/json$/, 'wav') }
  } catch {
    return undefined // written just now, or taken away
  }
}
