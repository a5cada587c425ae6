import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { finished } from 'node:stream/promises'
import t from 'tap'
import './compile.js'
import { groups, isPatient } from './groups.js'
import Reporter from './reporter.js'

// npm test: all test files, or those whose paths begin as told, in a few processes that share what they load.
// TEST_JOBS: how many at once. TEST_REPORT: a file that gets the counts of each test file, and which have to run again.

const { TEST_JOBS, TEST_REPORT } = process.env
const told = process.argv.slice(2)
/** for one process, which waits for its turn on a busy machine */
const SECONDS = 900
const filesOf = groups(told)
const names = [...filesOf.keys()]
if (names.length === 0) throw new Error(`no test below ${told.join(' ')}`)
// A soak test measures times, and starts as many processes as the machine bears: one after the other. Others wait for
// half of their time.
const most = names.some((name) => name.startsWith('test/soak')) ? 1 : availableParallelism() + 3

t.register()
const reporter = new Reporter()
t.pipe(reporter).pipe(process.stdout)
t.setTimeout(0)
t.jobs = TEST_JOBS === undefined ? most : Number(TEST_JOBS)
for (const name of names) {
  // tap's spawn puts its hooks into NODE_OPTIONS: back to what it was
  t.spawn(
    'nice',
    [
      '-n',
      isPatient(name) ? '10' : '0',
      'env',
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

if (TEST_REPORT !== undefined) {
  await finished(reporter)
  const again = reporter.failed.flatMap((name) => {
    const files = filesOf.get(name)
    const failed = files.filter((file) => reporter.files.get(file)?.fail !== 0)
    // None of them: it was their process that failed.
    return failed.length > 0 ? failed : files
  })
  writeFileSync(TEST_REPORT, JSON.stringify({ totals: reporter.totals, files: [...reporter.files], again }))
}
