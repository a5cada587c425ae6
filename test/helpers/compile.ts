import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
// below node_modules, so that packages are found from there
const CACHE = join(ROOT, 'node_modules/.cache')
const RELATIVE_IMPORT = /(?:from|import) '(\.{1,2}\/[^']+)\.js'/g

/**
 * Compiles a TypeScript file of the project, and all that it imports of the project, once: children that are started
 * fifty times can't each pay for a loader. Returns the path of the JavaScript; removed with the test.
 */
export async function compile (t: Test, entry: string): Promise<string> {
  await mkdir(CACHE, { recursive: true })
  const directory = await mkdtemp(join(CACHE, 'jambonz-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }')
  const seen = new Set<string>()
  const waiting = [resolve(ROOT, entry)]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file)) continue
    seen.add(file)
    const source = await readFile(file, 'utf8')
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true }
    })
    for (const [, path] of outputText.matchAll(RELATIVE_IMPORT)) waiting.push(`${resolve(dirname(file), path ?? '')}.ts`)
    const target = compiled(directory, file)
    await mkdir(dirname(target), { recursive: true })
    await writeFile(target, outputText)
  }
  return compiled(directory, resolve(ROOT, entry))
}

function compiled (directory: string, file: string): string {
  return join(directory, relative(ROOT, file).replace(/\.ts$/, '.js'))
}
