import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import t from 'tap'
import './compile.js'
import Reporter from './reporter.js'

/**
 * npm test: the test files, or those below the paths it is given, each a process. tap's own command would load into all
 * of them, and into all they start, what coverage needs: a second or more of each. It stays for `npm run coverage`.
 */
const SECONDS = 120

const paths = process.argv.slice(2)
const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((name) => `test/${name}`)
  .filter((file) => file.endsWith('.test.ts') && (paths.length === 0 || paths.some((path) => file.startsWith(path))))
  .sort()
if (files.length === 0) throw new Error(`no test below ${paths.join(' ')}`)

t.register()
t.pipe(new Reporter()).pipe(process.stdout)
t.setTimeout(0)
t.jobs = availableParallelism() + 1
for (const file of files) {
  // tap's spawn puts its hooks into NODE_OPTIONS: back to what it was
  t.spawn('env', [`NODE_OPTIONS=${process.env.NODE_OPTIONS ?? ''}`, process.execPath, '--enable-source-maps', `dist/${file.replace(/ts$/, 'js')}`], {
    buffered: true,
    timeout: SECONDS * 1_000,
    env: { ...process.env, TAP_TIMEOUT: String(SECONDS) }
  }, file)
}
