import { once } from 'node:events'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from '../dist/node_modules/tap/index.js'
import { groups, isSteady } from './groups.js'

/**
 * Runs one test file, or the files of a group one after the other, in this process. argv: path of the file,
 * or name of the group.
 */
const [name = ''] = process.argv.slice(2)
const files = name.endsWith('.ts') ? [name] : (groups().get(name) ?? [])

if (isSteady(name)) {
  const { steadyClock } = await import('../dist/test/helpers/steadyClock.js')
  steadyClock()
}
for (const file of files) {
  t.comment(file)
  // If a file calls teardown() outside of its tests, tap ends with this file, and the next files would not
  // run.
  if (t.results) throw new Error(`the tests before ${file} have ended all: let it have a process of its own`)
  const before = { ...t.counts }
  // The tests of one file may run side by side, but not together with tests of another file.
  t.jobs = 1
  await import(pathToFileURL(resolve('dist', file.replace(/ts$/, 'js'))).href)
  if (!t.idle) await once(t, 'idle')
  const counts = Object.fromEntries(
    ['pass', 'fail', 'skip', 'todo'].map((key) => [key, t.counts[key] - before[key]])
  )
  // The reporter (test/reporter.js) reads these counts.
  t.comment(`${file} ${JSON.stringify(counts)}`)
}
