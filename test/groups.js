import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'

/** takes minutes: run only when named */
const SOAK = 'test/soak'
/** Tests that change their process for good, and the longest ones, each have their own process. */
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
/** Folders that take a few seconds each share one process. */
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
/** The longest tests begin first. Tests that measure time alternate with others. */
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
/** Tests that use much CPU and measure no time: they run at a lower priority. */
const PATIENT = ['test/audio/differential.test.ts', 'test/example-app', 'test/routes', 'test/types']

/** Returns true if the group measures no time. */
export function isPatient(name) {
  return PATIENT.includes(name) || name.startsWith('test/tracing/')
}

/**
 * Returns the test files by the name of their process. The files of a folder, and those of small folders, share one,
 * since a small file spends half of its time on loading the code under test. `told`: beginnings of paths; only these
 * files are returned, each in a process of its own.
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
