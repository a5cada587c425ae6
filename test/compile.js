import { cpSync, writeFileSync } from 'node:fs'
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
for (const folder of ASSETS) cpSync(folder, `dist/${folder}`, { recursive: true })
await import('../.build/compileVerbs.js')
