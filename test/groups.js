import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'

/** Folder whose tests take minutes. They run only if an argument names them. */
const SOAK = 'test/soak'
/** Each of these files has its own process. They change their process for good, or take the longest. */
const ALONE = [
  'test/tracing/instrumentation.test.ts',
  'test/tracing/tracing.test.ts',
  'test/tracing/transports.test.ts',
  'test/cluster.test.ts',
  'test/handover.test.ts',
  'test/audio/differential.test.ts',
  'test/audio/hangUp.test.ts',
  'test/audio/privacy.test.ts',
  'test/recording/output.test.ts',
  'test/example-app/browser.test.ts'
]
/** Folders whose tests take a few seconds. All of them share one process. */
const SMALL = [
  'test/hosts',
  'test/metrics',
  'test/model',
  'test/operations',
  'test/tracing',
  'test/twilio',
  'test/verbs'
]
const SMALL_NAME = 'test/small'
/**
 * The order in which processes start: the longest first, and tests that measure time between tests that do
 * not.
 */
const FIRST = [
  'test/simulator',
  'test/recording',
  'test/audio',
  'test/monitor',
  'test/example-app/browser.test.ts',
  'test/handover.test.ts',
  'test/cluster.test.ts',
  'test/correlation',
  'test/application',
  'test/example-app',
  'test/types',
  'test/store',
  'test/routes',
  'test',
  'test/recording/output.test.ts',
  'test/audio/privacy.test.ts',
  'test/bench',
  'test/audio/hangUp.test.ts',
  SMALL_NAME,
  'test/audio/differential.test.ts'
]
/** Groups that use much CPU and measure no time. They run at a lower priority. */
const PATIENT = ['test/audio/differential.test.ts', 'test/example-app', 'test/routes', 'test/types']

/** Returns true if the tests of the group measure no time, so that they may run at a lower priority. */
export function isPatient(name) {
  return PATIENT.includes(name) || name.startsWith('test/tracing/')
}

/**
 * Groups that need the clock of the machine, because other processes of theirs measure the same times. The process of
 * any other group has a clock that stands still while the process waits for a core (test/helpers/steadyClock.ts), so that
 * a busy machine does not fail its tests.
 */
const MACHINE_CLOCK = [
  'test/audio/differential.test.ts',
  'test/audio/hangUp.test.ts',
  'test/cluster.test.ts',
  'test/example-app',
  'test/soak',
  'test/store',
  'test/types'
]

/** Returns true if the process of the group, or of the test file, has the clock of test/helpers/steadyClock.ts. */
export function isSteady(name) {
  return !MACHINE_CLOCK.some((group) => name.startsWith(group))
}

/**
 * Returns the test files of each process, by the name of the process (the group). The files of a folder, and
 * all files of small folders, share one process, because loading the code under test takes half of the time
 * of a small file. `told`: beginnings of paths; if there are any, only these files are returned, each in its
 * own process.
 */
export function groups(told = []) {
  const found = new Map(told.length > 0 ? [] : FIRST.map((name) => [name, []]))
  const files = readdirSync('test', { recursive: true, encoding: 'utf8' }).map((name) => `test/${name}`)
  for (const file of files.filter((name) => name.endsWith('.test.ts')).sort()) {
    const isTold = told.some((path) => file.startsWith(path))
    if (told.length > 0 ? !isTold : dirname(file) === SOAK) continue
    const folder = SMALL.includes(dirname(file)) ? SMALL_NAME : dirname(file)
    const name = isTold || ALONE.includes(file) ? file : folder
    found.set(name, [...(found.get(name) ?? []), file])
  }
  return found
}
