import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { totalsOf } from './reporter.js'

// Runs `npm test`, and then runs the failed files once more, one at a time, because a test that measures time
// fails if the machine stalls for a second. A file that fails twice fails the run. The last line has the
// totals, in which each file counts as in its last run.

const folder = mkdtempSync(join(tmpdir(), 'tests-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

async function run(paths, jobs = {}) {
  const report = join(folder, String(paths.length))
  rmSync(report, { force: true })
  const child = spawn('npm', ['test', '--', ...paths], {
    stdio: 'inherit',
    env: { ...process.env, ...jobs, TEST_REPORT: report }
  })
  const [code, signal] = await once(child, 'exit')
  try {
    return { passed: code === 0, ...JSON.parse(readFileSync(report, 'utf8')) }
  } catch (cause) {
    throw new Error(`the tests did not run to their end: exit code ${code}, signal ${signal}`, { cause })
  }
}

function sumOf(all) {
  const sum = { pass: 0, fail: 0, skip: 0, todo: 0 }
  for (const counts of all) for (const name of Object.keys(sum)) sum[name] += counts[name]
  return sum
}

const first = await run(process.argv.slice(2))
if (!first.passed) {
  if (first.again.length === 0) throw new Error('the tests failed, and no file of them did')
  console.log(`\n== once more, one at a time: ${first.again.join(' ')}`)
  const second = await run(first.again, { TEST_JOBS: '1' })
  const last = new Map([...first.files, ...second.files])
  // A failed process counts as a failure even if none of its assertions failed.
  const ofProcesses = (second.totals.fail ?? 0) - sumOf(second.files.map(([, counts]) => counts)).fail
  const totals = sumOf([...last.values()])
  console.log(
    `\nall in all: ${first.files.length} files in the first run, ${first.again.length} of them once more`
  )
  console.log(totalsOf({ ...totals, fail: totals.fail + ofProcesses }))
  process.exitCode = second.passed ? 0 : 1
}
