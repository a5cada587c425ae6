import { cpSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

/**
 * Makes JavaScript of everything, once, so that no test and no process it starts pays for a TypeScript loader: in
 * `dist`, where the package's own name leads. What is published comes from `npm run build`.
 */
const FOLDERS = ['lib', 'routes', 'example-app', 'test']
/** What the example application reads from beside its code. */
const ASSETS = ['example-app/audio', 'example-app/desk/public']

// A test that is no more would run for ever. The declarations in lib and routes stay: the type check reads them.
for (const folder of ['example-app', 'test']) rmSync(`dist/${folder}`, { recursive: true, force: true })
await build({
  entryPoints: FOLDERS.map((folder) => `${folder}/**/*.ts`),
  outdir: 'dist',
  outbase: '.',
  platform: 'node',
  format: 'esm',
  sourcemap: true,
  logLevel: 'warning'
})
for (const folder of ASSETS) cpSync(folder, `dist/${folder}`, { recursive: true })
