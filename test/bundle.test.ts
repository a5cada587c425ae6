import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createContext, Script } from 'node:vm'
import { build } from 'esbuild'
import t from 'tap'
import type { Listen } from '../lib/index.js'

interface Story {
  listens: Listen[]
  errors: string[]
}

const APPLICATION = `
import Fastify from 'fastify'
import { jambonzListen } from ${JSON.stringify(join(process.cwd(), 'lib/index.ts'))}
const app = Fastify()
app.register(jambonzListen, { fallback: [{ verb: 'say', text: 'Sorry.' }] })
app.after(() => app.jambonz.webhook('/call', async () => [{ verb: 'listen' }, { verb: 'hangup' }]))
app.inject({ method: 'POST', url: '/call', payload: { call_sid: 'c1' } }, (err, response) => {
  console.log(err ?? response.body)
})
`

/** Runs a JavaScript file in a folder without node_modules. Resolves to everything that the file printed. */
async function output(file: string): Promise<string> {
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (data) => (said += data))
  child.stderr.on('data', (data) => (said += data))
  await once(child, 'close')
  return said
}

t.test('an application that is bundled into one file starts, and takes a call', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'jambonz-bundle-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const require =
    'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);'
  for (const [format, name, banner] of [
    ['cjs', 'app.cjs', ''],
    ['esm', 'app.mjs', require]
  ] as const) {
    const outfile = join(folder, name)
    await build({
      stdin: { contents: APPLICATION, resolveDir: process.cwd(), loader: 'ts' },
      bundle: true,
      platform: 'node',
      format,
      outfile,
      // Defines `require()`, which bundled CommonJS dependencies call but an ES module does not have.
      banner: { js: banner },
      external: ['@opentelemetry/api', '@aws-sdk/*'],
      logLevel: 'silent'
    })
    t.match(await output(outfile), /"verb":"listen".*"verb":"hangup"/, format)
  }
})

/** Exports a function that simulates calls of an application that records, and returns what happened. */
const RECORDED_CALLS = `
import Fastify from 'fastify'
import { jambonzListen } from ${JSON.stringify(join(process.cwd(), 'lib/index.ts'))}
import { simulateCall } from ${JSON.stringify(join(process.cwd(), 'lib/simulator/index.ts'))}
export async function recordedCalls(directory) {
  const app = Fastify()
  await app.register(jambonzListen, { recording: { directory, encryption: { key: () => Buffer.alloc(32) } } })
  app.jambonz.webhook('/call', async () => [
    { verb: 'listen', url: '/talk', actionHook: '/done', maxLength: 1, bidirectionalAudio: { enabled: true, streaming: true } }
  ])
  app.jambonz.audio('/talk', async (stream) => {
    stream.on('audio', async () => {})
    for (const audio of [Buffer.alloc(320), new Uint8Array(320), new Int16Array(160)]) stream.write(audio)
    for await (const _ of stream);
  })
  const listens = []
  app.jambonz.actionHook('/done', async ({ listen }) => {
    listens.push(listen)
    return [{ verb: 'hangup' }]
  })
  const errors = []
  const speech = { pcm: new Int16Array(16000), sampleRate: 8000 }
  for (const transport of ['http', 'websocket']) {
    const story = await simulateCall({ app, hook: '/call', transport, speech })
    errors.push(...story.errors)
  }
  await app.close()
  return { listens, errors }
}`

t.test('in a realm of its own, as Jest gives each test file, an application records calls', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'jambonz-realm-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const outfile = join(folder, 'app.cjs')
  await build({
    stdin: { contents: RECORDED_CALLS, resolveDir: process.cwd(), loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile,
    define: { 'import.meta.url': JSON.stringify(import.meta.url) },
    logLevel: 'silent'
  })
  // As in Jest, the globals of JavaScript itself are of the realm, and those of Node come from outside.
  const module = { exports: {} as { recordedCalls(directory: string): Promise<Story> } }
  const realm = createContext({ module, exports: module.exports, require: createRequire(import.meta.url) })
  const own = new Set(new Script('Object.getOwnPropertyNames(globalThis)').runInContext(realm) as string[])
  const outside = Object.getOwnPropertyNames(globalThis).filter((name) => !own.has(name))
  for (const name of [...outside, 'Uint8Array', 'ArrayBuffer']) {
    Object.defineProperty(realm, name, {
      value: Reflect.get(globalThis, name),
      writable: true,
      configurable: true
    })
  }
  realm['global'] = realm
  new Script(await readFile(outfile, 'utf8'), { filename: outfile }).runInContext(realm)
  const { listens, errors } = await module.exports.recordedCalls(join(folder, 'recordings'))
  t.equal(errors.length, 0)
  t.equal(listens.length, 2)
  for (const { endReason, recording } of listens) {
    t.equal(endReason, 'maxLength')
    t.equal(recording?.state, 'saved')
    t.equal(recording?.channels, 2, 'with both sides')
  }
})
