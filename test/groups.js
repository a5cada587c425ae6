import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'

/** minutes long: only when told */
const SOAK = 'test/soak'
/** Those that change their process for good, and the longest: each has its own. */
const ALONE = [
  'test/tracing/',
  'test/cluster.test.ts',
  'test/handover.test.ts',
  'test/bundle.test.ts',
  'test/audio/differential.test.ts',
  'test/audio/hangUp.test.ts',
  'test/audio/privacy.test.ts',
  'test/recording/output.test.ts',
  'test/operations/recipes.test.ts',
  'test/example-app/browser.test.ts',
  'test/example-app/start.test.ts'
]
/** What takes longest begins first; beside it, what waits more than it works. */
const FIRST = [
  'test/recording/output.test.ts',
  'test/audio/privacy.test.ts',
  'test/example-app/browser.test.ts',
  'test/recording',
  'test/example-app',
  'test/monitor',
  'test/simulator',
  'test/audio',
  'test/cluster.test.ts'
]

/**
 * The test files that share a process, by a name for it: those of a folder, since half of a small file's time is that
 * of loading what it tests. `told`: only those whose paths begin so, each alone.
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
