import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

/**
 * Compiles these folders to JavaScript in `dist`, once per test run. Loading TypeScript in each test process,
 * and in each process that a test starts, would take longer. The output is in `dist` because imports by the
 * package's own name resolve there. `npm run build` makes the published package.
 */
const FOLDERS = ['lib', 'routes', 'example-app', 'test']
/** Files that the example application reads at run time from its own folder. */
const ASSETS = ['example-app/audio', 'example-app/desk/public']

await build({
  entryPoints: FOLDERS.map((folder) => `${folder}/**/*.ts`),
  outdir: 'dist',
  outbase: '.',
  platform: 'node',
  format: 'esm',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning'
})
// TypeBox has 300 files, and loading these takes longer than loading all of lib/. Therefore TypeBox is
// bundled into a few files in dist/node_modules, where Node.js looks before the project's node_modules.
const TYPEBOX = 'dist/node_modules/@sinclair/typebox'
await build({
  entryPoints: {
    index: '@sinclair/typebox',
    value: '@sinclair/typebox/value',
    errors: '@sinclair/typebox/errors'
  },
  outdir: TYPEBOX,
  platform: 'node',
  format: 'esm',
  bundle: true,
  splitting: true
})
writeFileSync(
  `${TYPEBOX}/package.json`,
  JSON.stringify({ type: 'module', exports: { '.': './index.js', './*': './*.js' } })
)
// tap has 240 files. test/domain.js replaces a package of tap that would take an eighth of the CPU of the tests.
// tap shows no stack frames of a folder @tapjs.
const TAP = 'dist/node_modules'
await build({
  entryPoints: ['tap'],
  outfile: `${TAP}/@tapjs/tap.js`,
  platform: 'node',
  format: 'esm',
  bundle: true,
  alias: { 'async-hook-domain': './test/domain.js' },
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url)"
  }
})
mkdirSync(`${TAP}/tap`, { recursive: true })
writeFileSync(
  `${TAP}/tap/index.js`,
  "export * from '../@tapjs/tap.js'\nexport { default } from '../@tapjs/tap.js'\n"
)
writeFileSync(`${TAP}/tap/package.json`, JSON.stringify({ type: 'module', exports: './index.js' }))
for (const folder of ASSETS) cpSync(folder, `dist/${folder}`, { recursive: true })
await import('../.build/compileVerbs.js')
