import { transform } from 'esbuild'
import t from 'tap'
import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

t.test('the example tests in docs/simulator.md pass without changes', async (t) => {
  const page = await readFile('docs/simulator.md', 'utf8')
  const blocks = [...page.matchAll(/```ts\n([^]*?)```/g)]
    .map(([, code]) => code!)
    .filter((code) => code.includes('test('))
  t.equal(blocks.length, 3)
  // The folder is inside the package, so that an import of the package's name finds this package.
  const folder = join('.tap', `simulator-docs-${process.pid}`)
  await mkdir(folder, { recursive: true })
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  for (const [index, code] of blocks.entries()) {
    await writeFile(join(folder, `worked${index}.js`), (await transform(code, { loader: 'ts' })).code)
  }
  await writeFile(join(folder, 'all.js'), blocks.map((_, index) => `import './worked${index}.js'\n`).join(''))
  const { code, output } = await new Promise<{ code: number | null; output: string }>((resolve) => {
    const child = execFile(
      process.execPath,
      [join(folder, 'all.js')],
      { timeout: 300_000 },
      (_error, stdout, stderr) => {
        resolve({ code: child.exitCode, output: stdout + stderr })
      }
    )
  })
  t.equal(code, 0, output)
  t.match(output, /pass 5\b/)
})
