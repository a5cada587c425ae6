import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { Editor } from '../helpers/Editor.js'
import { folder } from '../helpers/build.js'

const run = promisify(execFile)
const NPM = { env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' } }
const MAX_BUFFER = 16 * 1024 * 1024

/**
 * Returns a program that makes a whole call and prints its story. `load`: the lines that load Fastify, the
 * plugin and the simulator, as `import` or `require()`.
 */
const oneCall = (load: string, directory: string): string => `
${load}
async function main () {
  const app = Fastify()
  await app.register(jambonzListen, { recording: { directory: '${directory}' } })
  app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done', maxLength: 2 }])
  app.jambonz.actionHook('/done', async (request) => {
    console.log(request.listen.recording?.durationMs)
    return [{ verb: 'hangup' }]
  })
  const story = await simulateCall({ app, hook: '/call' })
  console.log(story.verbs.map(({ verb }) => verb).join())
  await app.close()
}
main()
`
const IMPORTS = `import Fastify from 'fastify'
import jambonzListen from 'fastify-jambonz-listen'
import { simulateCall } from 'fastify-jambonz-listen/simulator'`
const REQUIRES = `const Fastify = require('fastify')
const jambonzListen = require('fastify-jambonz-listen')
const { simulateCall } = require('fastify-jambonz-listen/simulator')`
const REQUIRES_IN_TYPESCRIPT = `import Fastify = require('fastify')
import plugin = require('fastify-jambonz-listen')
import { simulateCall } from 'fastify-jambonz-listen/simulator'
const jambonzListen = plugin.default`
/** Imports all other entry points of the package, so that the compiler checks their types too. */
const DOORS = `
import { redisStore } from 'fastify-jambonz-listen/redis'
import liveMonitor from 'fastify-jambonz-listen/monitor'
import { bridgeTwilio } from 'fastify-jambonz-listen/twilio'
void [redisStore, liveMonitor, bridgeTwilio]`

interface Manifest {
  exports: Record<string, string | { types?: string; import?: { types: string } }>
  typesVersions: unknown
}

const HOVERED = `import Fastify from 'fastify'
import jambonzListen, { type Verb } from 'fastify-jambonz-listen'
const app = Fastify()
await app.register(jambonzListen, {
  /*secret*/webhookSecret: 'x',
  /*recording*/recording: { /*directory*/directory: 'a', /*fsync*/fsync: true },
  limits: { /*maxStreams*/maxStreams: 1 }
})
app.jambonz./*webhook*/webhook('/a', async () => [])
const verbs: Verb[] = [
  { verb: 'listen', /*finishOnKey*/finishOnKey: '#', /*mixType*/mixType: 'stereo', /*passDtmf*/passDtmf: true }
]
void verbs
app.jambonz.actionHook('/b', async ({ listen, call }) => {
  void [listen./*endReason*/endReason, listen./*legCallSid*/legCallSid, listen.audio./*gapMs*/gapMs, call./*data*/data, call./*envVars*/envVars]
  void listen.recording?./*location*/location
})
app.jambonz.audio('/c', (stream) => { void [stream./*playedMs*/playedMs, stream./*clear*/clear] })
`
/** The expected hover text of the word after each mark. */
const MEANINGS: Array<[mark: string, text: RegExp]> = [
  ['secret', /Jambonz-Signature/],
  ['recording', /record/i],
  ['directory', /folder of the recordings/],
  ['fsync', /power failure/],
  ['maxStreams', /503/],
  ['webhook', /verbs/],
  ['finishOnKey', /keys that end the listen/],
  ['mixType', /stereo/],
  ['passDtmf', /each key that the caller presses/],
  ['endReason', /ended/],
  ['legCallSid', /leg/],
  ['gapMs', /no audio came/],
  ['data', /application/],
  ['envVars', /environment/],
  ['location', /path or url/],
  ['playedMs', /heard/],
  ['clear', /barge-in/i]
]

/**
 * Module settings that a user's tsconfig.json may have. Only nodenext, node16 and commonjs can compile `.cts` files.
 * With node10, which older projects have, TypeScript reads `typesVersions` of package.json in place of `exports`.
 */
const TYPESCRIPT = [
  { module: 'nodenext', moduleResolution: 'nodenext', files: ['main.ts', 'main.cts'] },
  { module: 'node16', moduleResolution: 'node16', files: ['main.ts', 'main.cts'] },
  { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0', files: ['main.cts'] },
  { module: 'preserve', moduleResolution: 'bundler', files: ['main.ts'] },
  { module: 'esnext', moduleResolution: 'bundler', files: ['main.ts'] }
]

t.test(
  'the package works after it is installed into an empty folder',
  { timeout: 14 * 60_000 },
  async (t) => {
    const home = folder()
    const { tarball, files } = await pack(join(home, 'source'))
    const project = join(home, 'project')
    await mkdir(project)
    await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module', private: true }))
    const others = await versions(['fastify', 'typescript', '@types/node', 'esbuild'])
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball, ...others], {
      ...NPM,
      cwd: project
    })
    await write(project, {
      'main.js': oneCall(IMPORTS, 'esm'),
      'main.cjs': oneCall(REQUIRES, 'cjs'),
      'main.ts': oneCall(IMPORTS + DOORS, 'ts'),
      'main.cts': oneCall(REQUIRES_IN_TYPESCRIPT + DOORS, 'cts')
    })

    t.test('the package contains only the files that should be published', async (t) => {
      const strays = files.filter((file) => !/^(dist\/(lib|routes)|docs)\//.test(file))
      t.strictSame(strays.sort(), [
        'CHANGELOG.md',
        'LICENSE',
        'README.md',
        'SECURITY.md',
        'example-app/desk.png',
        'package.json',
        'test/bench/RESULTS.md'
      ])
      t.notOk(
        files.some((file) => /\.map$|\/(test|example-app)\//.test(file) && !/RESULTS\.md$/.test(file)),
        'no maps, no tests'
      )
    })

    t.test('the pages of the package link to files in the package only', async (t) => {
      for (const page of files.filter((file) => file.endsWith('.md'))) {
        const text = await readFile(join(project, 'node_modules/fastify-jambonz-listen', page), 'utf8')
        for (const [, link = ''] of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)) {
          const target = join(page, '..', link)
          const isThere = files.includes(target) || files.some((file) => file.startsWith(`${target}/`))
          t.ok(isThere, `${page} -> ${link}`)
        }
      }
    })

    t.test('typesVersions names the types of every entry point', async (t) => {
      const { exports, typesVersions } = JSON.parse(await readFile('package.json', 'utf8')) as Manifest
      const types = Object.entries(exports).flatMap(([door, to]) =>
        door === '.' || typeof to === 'string' ? [] : [[door.slice(2), [to.types ?? to.import?.types]]]
      )
      t.strictSame(typesVersions, { '*': Object.fromEntries(types) })
    })

    for (const file of ['main.js', 'main.cjs']) {
      t.test(`the package takes a call in ${file}`, (t) => takesCall(t, project, file))
    }

    for (const { module, moduleResolution, ignoreDeprecations, files } of TYPESCRIPT) {
      t.test(
        `the package compiles with module ${module}, moduleResolution ${moduleResolution} and skipLibCheck false`,
        async (t) => {
          const outDir = `out-${module}`
          const config = {
            compilerOptions: {
              module,
              moduleResolution,
              ignoreDeprecations,
              outDir,
              strict: true,
              target: 'es2023',
              types: ['node'],
              skipLibCheck: false
            },
            files
          }
          const name = `tsconfig.${module}.json`
          await write(project, { [name]: JSON.stringify(config) })
          await run('npx', ['tsc', '-p', name], { cwd: project, maxBuffer: MAX_BUFFER }).catch(
            (err: { stdout: string }) => t.fail(err.stdout)
          )
          for (const file of files) {
            await takesCall(t, project, join(outDir, file.replace(/ts$/, 'js')))
          }
        }
      )
    }

    t.test('an editor shows the descriptions of options, fields and methods', async (t) => {
      const editor = new Editor(project, {
        module: ts.ModuleKind.NodeNext,
        moduleResolution: ts.ModuleResolutionKind.NodeNext,
        strict: true,
        types: ['node']
      })
      const file = editor.open(HOVERED)
      for (const [mark, text] of MEANINGS) {
        const shown = file.hover(mark)
        t.match(shown.slice(shown.indexOf('\n') + 1), text, `${mark}: ${shown.slice(0, 200)}`)
      }
      t.strictSame(file.errors(), [])
    })

    for (const format of ['esm', 'cjs']) {
      t.test(`a bundle that esbuild made (${format}) starts without other files`, async (t) => {
        const alone = join(home, `alone-${format}`)
        await mkdir(alone)
        const file = format === 'esm' ? 'app.mjs' : 'app.cjs'
        const banner =
          "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);"
        await run(
          'npx',
          [
            ...['esbuild', 'main.js', '--bundle', '--platform=node', `--format=${format}`],
            ...(format === 'esm' ? [`--banner:js=${banner}`] : []),
            ...['--external:@opentelemetry/api', '--log-level=error', `--outfile=${join(alone, file)}`]
          ],
          { cwd: project }
        )
        await takesCall(t, alone, file)
      })
    }
  }
)

/**
 * Copies the files of git to a new folder, and builds and packs them there, because other tests use `dist` of
 * this folder.
 */
async function pack(source: string): Promise<{ tarball: string; files: string[] }> {
  const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'])
  for (const file of stdout.split('\0').filter((name) => name !== '')) {
    await cp(file, join(source, file)).catch(() => {})
  }
  await symlink(resolve('node_modules'), join(source, 'node_modules'))
  await run('npm', ['run', 'build'], { ...NPM, cwd: source })
  const packed = await run('npm', ['pack', '--ignore-scripts', '--json'], { ...NPM, cwd: source })
  const [{ filename, files }] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[] }]
  return { tarball: join(source, filename), files: files.map(({ path }) => path) }
}

async function versions(names: string[]): Promise<string[]> {
  return await Promise.all(
    names.map(async (name) => {
      const { version } = JSON.parse(await readFile(`node_modules/${name}/package.json`, 'utf8'))
      return `${name}@${version}`
    })
  )
}

async function write(project: string, files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(project, name), text)
}

async function takesCall(t: Test, cwd: string, file: string): Promise<void> {
  const { stdout } = await run(process.execPath, [file], {
    cwd,
    env: { ...process.env, NODE_OPTIONS: '' }
  }).catch((err: { stdout: string; stderr: string }) => ({ stdout: `${err.stdout}\n${err.stderr}` }))
  const [duration, verbs] = stdout.trim().split('\n')
  t.equal(verbs, 'listen,hangup', `${file}: ${stdout}`)
  t.ok(Number(duration) > 1_000, `${file} recorded ${duration} ms`)
}
