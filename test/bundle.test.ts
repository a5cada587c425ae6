import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import t from 'tap'

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
