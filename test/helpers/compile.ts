import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Test } from 'tap'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
// below node_modules, so that packages are found from there
const CACHE = join(ROOT, 'node_modules/.cache')

/**
 * Makes one JavaScript module of a TypeScript file of the project and all of the project's that it imports: children
 * that are started fifty times can't each pay for a loader. Resolves to its path; removed with the test.
 */
export async function compile (t: Test, entry: string): Promise<string> {
  await mkdir(CACHE, { recursive: true })
  const directory = await mkdtemp(join(CACHE, 'jambonz-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const outfile = join(directory, `${basename(entry, '.ts')}.mjs`)
  await build({ entryPoints: [join(ROOT, entry)], outfile, bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20', logLevel: 'error' })
  return outfile
}
