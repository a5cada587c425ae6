import { availableParallelism } from 'node:os'
import t from 'tap'
import './compile.js'
import { groups } from './groups.js'
import Reporter from './reporter.js'

// npm test: all test files, or those whose paths begin as told, in a few processes that share what they load.

const told = process.argv.slice(2)
/** for one process; what is told by name may be a soak test */
const SECONDS = told.length > 0 ? 900 : 300
const names = [...groups(told).keys()]
if (names.length === 0) throw new Error(`no test below ${told.join(' ')}`)

t.register()
t.pipe(new Reporter()).pipe(process.stdout)
t.setTimeout(0)
// A soak test measures times, and starts as many processes as the machine bears: one after the other.
t.jobs = names.some((name) => name.startsWith('test/soak')) ? 1 : availableParallelism() + 1
for (const name of names) {
  // tap's spawn puts its hooks into NODE_OPTIONS: back to what it was
  t.spawn(
    'env',
    [
      `NODE_OPTIONS=${process.env.NODE_OPTIONS ?? ''}`,
      process.execPath,
      '--enable-source-maps',
      '--unhandled-rejections=strict',
      'test/together.js',
      name
    ],
    {
      buffered: true,
      timeout: SECONDS * 1_000,
      env: { ...process.env, TAP_TIMEOUT: String(SECONDS) }
    },
    name
  )
}
