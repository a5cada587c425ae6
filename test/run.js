import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import t from 'tap'
import './compile.js'
import Reporter from './reporter.js'

/**
 * npm test: all test files, those of a folder in one process, since half of a small file's time is that of loading what
 * it tests; or those whose paths begin as told, each in its own. tap's own command would moreover load into each, and
 * into all they start, what coverage needs. It stays for `npm run coverage`.
 */
const SECONDS = 180
/** minutes long: only when told */
const SOAK = 'test/soak'
/** Those that change their process for good, and the longest: each has its own. */
const ALONE = ['test/tracing/', 'test/cluster.test.ts']
/** What takes longest begins first. */
const FIRST = ['test/example-app', 'test/recording', 'test/simulator', 'test/cluster.test.ts', 'test']

const told = process.argv.slice(2)
const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((name) => `test/${name}`)
  .filter((file) => file.endsWith('.test.ts'))
  .sort()
const paths = told.length > 0
  ? files.filter((file) => told.some((path) => file.startsWith(path)))
  : [...new Set([...FIRST, ...files.map((file) => ALONE.some((path) => file.startsWith(path)) ? file : dirname(file))])].filter((path) => path !== SOAK)
if (paths.length === 0) throw new Error(`no test below ${told.join(' ')}`)

t.register()
t.pipe(new Reporter()).pipe(process.stdout)
t.setTimeout(0)
t.jobs = availableParallelism() + 1
for (const path of paths) {
  // tap's spawn puts its hooks into NODE_OPTIONS: back to what it was
  t.spawn('env', [`NODE_OPTIONS=${process.env.NODE_OPTIONS ?? ''}`, process.execPath, '--enable-source-maps', 'test/together.js', path], {
    buffered: true,
    timeout: SECONDS * 1_000,
    env: { ...process.env, TAP_TIMEOUT: String(SECONDS) }
  }, path)
}
