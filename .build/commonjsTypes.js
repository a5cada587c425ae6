import { readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import ts from 'typescript'

// The last step of `npm run build`. It writes the type files (*.d.cts) that package.json names under
// `require`. They are needed because TypeScript reports an error if a CommonJS file requires an ES module,
// although Node.js has allowed this since 20.19. Each entry point of the package gets a *.d.cts that
// re-exports every name of its *.d.ts, so that each type is declared only once.

const MODE = "with { 'resolution-mode': 'import' }"

const { exports } = JSON.parse(readFileSync('package.json', 'utf8'))
const doors = Object.values(exports).filter((door) => door.require !== undefined)
const program = ts.createProgram(
  doors.map((door) => door.import.types),
  { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, strict: true }
)
const checker = program.getTypeChecker()

for (const door of doors) {
  const source = program.getSourceFile(door.import.types)
  const from = `./${basename(door.import.types).replace('.d.ts', '.js')}`
  const lines = checker
    .getExportsOfModule(checker.getSymbolAtLocation(source))
    .flatMap((symbol) => declarationsOf(symbol, from))
  writeFileSync(door.require.types, lines.join('\n') + '\n')
}

function declarationsOf(symbol, from) {
  const { name } = symbol
  const { flags } = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  const isType = (flags & ts.SymbolFlags.Type) !== 0
  const whole = `import('${from}', { ${MODE.replace('with ', 'with: ')} })`
  if ((flags & ts.SymbolFlags.Value) === 0) return [`export type { ${name} } from '${from}' ${MODE}`]
  if (name === 'default') return [`declare const plugin: typeof ${whole}.default`, 'export default plugin']
  const value = `export declare const ${name}: typeof ${whole}.${name}`
  return isType ? [value, `export type ${name} = ${whole}.${name}`] : [value]
}
