import { writeFileSync } from 'node:fs'
import { finished } from 'node:stream/promises'
import t from 'tap'
import './compile.js'
import { groups, isPatient } from './groups.js'
import { jobsOfMachine } from './machine.js'
import Reporter from './reporter.js'

// Runs the test files for `npm test`: all of them, or those whose paths begin with an argument. A process
// runs several files, which then load the code under test only once.
// TEST_JOBS: number of processes at the same time. TEST_REPORT: path of a file to write, with the counts of
// each test file and the files that must run again.

const { TEST_JOBS, TEST_REPORT } = process.env
const told = process.argv.slice(2)
/** seconds that a process may take; long because on a busy machine a process waits for its turn */
const SECONDS = 900
/**
 * Makes V8 optimize a function after three times as much work as by default (132 kB of bytecode). Most
 * functions of a test run too briefly to earn back the cost of their optimization, which is a tenth of the
 * CPU. Only the V8 of Node.js 20 has this option.
 */
const LAZY_COMPILER = process.versions.node.startsWith('20.') ? ['--interrupt-budget=400000'] : []
const filesOf = groups(told)
const names = [...filesOf.keys()]
if (names.length === 0) throw new Error(`no test below ${told.join(' ')}`)
// A soak test measures times and keeps the whole machine busy, so soak tests run one after the other.
const most = names.some((name) => name.startsWith('test/soak')) ? 1 : jobsOfMachine()

t.register()
const reporter = new Reporter()
t.pipe(reporter).pipe(process.stdout)
t.setTimeout(0)
t.jobs = TEST_JOBS === undefined ? most : Number(TEST_JOBS)
for (const name of names) {
  // tap's spawn adds its module hooks to NODE_OPTIONS; `env` sets NODE_OPTIONS back.
  t.spawn(
    'nice',
    [
      '-n',
      isPatient(name) ? '10' : '0',
      'env',
      `NODE_OPTIONS=${process.env.NODE_OPTIONS ?? ''}`,
      process.execPath,
      ...LAZY_COMPILER,
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
    // If no file failed, their process failed, so all its files run again.
    return failed.length > 0 ? failed : files
  })
  writeFileSync(TEST_REPORT, JSON.stringify({ totals: reporter.totals, files: [...reporter.files], again }))
}
