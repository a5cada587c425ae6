import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'

/** takes minutes: run only when named */
const SOAK = 'test/soak'
/** Tests that change their process for good, and the longest ones, each have their own process. */
const ALONE = [
  'test/tracing/',
  'test/cluster.test.ts',
  'test/handover.test.ts',
  'test/bundle.test.ts',
  'test/audio/differential.test.ts',
  'test/audio/hangUp.test.ts',
  'test/audio/privacy.test.ts',
  'test/recording/output.test.ts',
  'test/example-app/browser.test.ts',
  'test/example-app/start.test.ts'
]
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
  'test/example-app/start.test.ts',
  'test/store',
  'test/routes',
  'test',
  'test/recording/output.test.ts',
  'test/audio/privacy.test.ts',
  'test/bench',
  'test/audio/hangUp.test.ts',
  'test/verbs',
  'test/metrics',
  'test/audio/differential.test.ts'
]
/** Tests that use much CPU and measure no time: they run at a lower priority. */
const PATIENT = [
  'test/audio/differential.test.ts',
  'test/bundle.test.ts',
  'test/example-app',
  'test/example-app/start.test.ts',
  'test/hosts',
  'test/operations',
  'test/routes',
  'test/types',
  'test/verbs'
]

/** Returns true if the group measures no time. */
export function isPatient(name) {
  return PATIENT.includes(name) || name.startsWith('test/tracing/')
}

/**
 * Returns the test files by the name of their process. The files of a folder share one, since a small file spends half
 * of its time on loading the code under test. `told`: beginnings of paths; only these files are returned, each in a
 * process of its own.
 */
export function groups(told = []) {
  const found = new Map(told.length > 0 ? [] : FIRST.map((name) => [name, []]))
  const files = readdirSync('test', { recursive: true, encoding: 'utf8' }).map((name) => `test/${name}`)
  for (const file of files.filter((name) => name.endsWith('.test.ts')).sort()) {
    const isTold = told.some((path) => file.startsWith(path))
    if (told.length > 0 ? !isTold : dirname(file) === SOAK) continue
    const name = isTold || ALONE.some((path) => file.startsWith(path)) ? file : dirname(file)
    found.set(name, [...(found.get(name) ?? []), file])
  }
  return found
}
