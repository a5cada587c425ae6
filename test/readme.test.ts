import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { transform } from 'esbuild'
import t from 'tap'
import { simulateCall } from '../lib/simulator/index.js'
import { until } from './helpers/until.js'
import * as errors from '../lib/model/errors.js'
import { PAGES, withTables } from './helpers/docTables.js'

const readme = await readFile('README.md', 'utf8')

t.test('the tables of the documentation match the code', async (t) => {
  for (const path of PAGES) {
    const page = await readFile(path, 'utf8')
    t.match(page, '<!-- table: ')
    t.equal(page, withTables(page), `${path}, else: npm run docs`)
  }
})

t.test('the tables of errors in the documentation contain every error', async (t) => {
  const names = Object.keys(errors).filter((name) => name.startsWith('ERR_'))
  t.ok(names.length > 40)
  t.same(errors.ERRORS.map(({ code }) => code.replace('FST_JAMBONZ_', 'ERR_')).sort(), names.sort())
})

t.test("the README's first code block takes a call", async (t) => {
  const [, code] = /```ts\n([^]*?)```/.exec(readme) ?? []
  t.ok(code)
  // The folder is inside the package, so that an import of the package's name finds this package. The port is
  // free, so that other tests may run at the same time.
  const folder = join('.tap', `readme-${process.pid}`)
  await mkdir(folder, { recursive: true })
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await writeFile(
    join(folder, 'usage.js'),
    (await transform(code!.replace('port: 3000', 'port: 0'), { loader: 'ts' })).code
  )
  const webhookSecret = 'secret of the portal'
  const server = spawn(process.execPath, ['usage.js'], {
    cwd: folder,
    env: { ...process.env, JAMBONZ_WEBHOOK_SECRET: webhookSecret }
  })
  t.teardown(() => server.kill('SIGKILL'))
  let complaints = ''
  server.stderr.on('data', (data) => {
    complaints += data
  })

  const logged: Array<Record<string, unknown>> = []
  const lines = createInterface(server.stdout)
  const address = new Promise<string>((resolve, reject) => {
    lines.on('line', (line) => {
      const entry = JSON.parse(line) as Record<string, unknown>
      logged.push(entry)
      const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(String(entry.msg)) ?? []
      if (url) resolve(url)
    })
    server.on('exit', (code) => reject(new Error(`exit ${code}: ${complaints}`)))
  })
  const story = await simulateCall({ url: `${await address}/voicemail`, webhookSecret, press: '#' })
  t.same(story.errors, [])
  t.same(
    story.verbs.map(({ verb }) => verb),
    ['say', 'listen', 'say', 'hangup']
  )
  // The child process has logged the line, but the pipe between the processes may deliver it later.
  const { location } = await until(
    () => logged.find(({ location }) => typeof location === 'string'),
    'the actionHook to log the recording'
  )
  const wav = await readFile(join(folder, String(location)))
  t.ok(wav.includes(story.listens[0]!.sent.pcm!), 'with every byte that was sent')
  server.removeAllListeners('exit')
  server.kill()
  await once(server, 'exit')
})
