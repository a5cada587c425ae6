import { readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import ts from 'typescript'

// The last step of `npm run build`: writes the types that `require` leads to in package.json. TypeScript says of an ES
// module that a CommonJS file can't require it, which Node.js does since 20.19. So each door of the package gets a
// *.d.cts that names all exports of its *.d.ts; there is one declaration of everything, whoever asks.

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
