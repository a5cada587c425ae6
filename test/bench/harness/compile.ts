import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const SOURCES = ['lib', 'routes', 'test/bench']

/** A compiled copy of the project, as users get it. Later edits of the project do not change the copy. */
export interface Snapshot {
  /** returns the path of the compiled `test/bench/<name>` */
  entry(name: string): string
  remove(): void
}

/** Compiles the project like `npm run build`, but without checking types. */
export function compile(): Snapshot {
  const folder = mkdtempSync(join(tmpdir(), 'jambonz-bench-'))
  const { options } = ts.parseJsonConfigFileContent(readConfig('tsconfig.build.json'), ts.sys, ROOT)
  // Uses ESNext and not NodeNext, because NodeNext needs a package.json to choose the module system, and each
  // file is compiled alone.
  const compilerOptions = {
    ...options,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler
  }
  for (const source of SOURCES) {
    for (const file of readdirSync(join(ROOT, source), { recursive: true, encoding: 'utf8' })) {
      if (file.endsWith('.ts') && !/\.(?:test|types|d)\.ts$/.test(file)) {
        compileFile(join(source, file), folder, compilerOptions)
      } else if (file.endsWith('.js')) {
        // `npm run build` generates these files, so they are copied.
        mkdirSync(dirname(join(folder, source, file)), { recursive: true })
        copyFileSync(join(ROOT, source, file), join(folder, source, file))
      }
    }
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return {
    entry: (name) => join(folder, 'test/bench', name.replace(/\.ts$/, '.js')),
    remove: () => rmSync(folder, { recursive: true, force: true })
  }
}

function compileFile(file: string, folder: string, compilerOptions: ts.CompilerOptions): void {
  const { outputText } = ts.transpileModule(readFileSync(join(ROOT, file), 'utf8'), {
    compilerOptions,
    fileName: file
  })
  const target = join(folder, file.replace(/\.ts$/, '.js'))
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, outputText)
}

function readConfig(name: string): object {
  return ts.readConfigFile(join(ROOT, name), (path) => ts.sys.readFile(path)).config as object
}
