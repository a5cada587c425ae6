import { cpSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

/**
 * Makes JavaScript of everything, once, so that no test and no process that one starts pays for a TypeScript loader:
 * in `dist`, where the package's own name leads. What is published is made by `npm run build`.
 */
const FOLDERS = ['lib', 'routes', 'example-app', 'test']
/** The files that the example application reads from its own folder. */
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
// TypeBox has 300 files, which take longer to load than all of lib/. So it is bundled into a few, in the node_modules
// where Node.js looks first.
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
