import { once } from 'node:events'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { groups } from './groups.js'

/** Runs a test file, or those of a group one after the other, in this process. argv: its path, or the group's name */
const [name = ''] = process.argv.slice(2)
const files = name.endsWith('.ts') ? [name] : (groups().get(name) ?? [])

for (const file of files) {
  t.comment(file)
  // tap ends with the first that has a teardown of its own, outside its tests
  if (t.results) throw new Error(`the tests before ${file} have ended all: let it have a process of its own`)
  const before = { ...t.counts }
  // A file may run its tests side by side, but not beside those of another.
  t.jobs = 1
  await import(pathToFileURL(resolve('dist', file.replace(/ts$/, 'js'))).href)
  if (!t.idle) await once(t, 'idle')
  const counts = Object.fromEntries(
    ['pass', 'fail', 'skip', 'todo'].map((key) => [key, t.counts[key] - before[key]])
  )
  // for the reporter
  t.comment(`${file} ${JSON.stringify(counts)}`)
}
