import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const HEAD = `# Results

Written by \`npm run bench -- --out test/bench/RESULTS.md\`: each run renews the parts between two marks, and leaves what is
written between them. Ratios are those within a round, in which all variants take turns.
`

/** A part of the results file: the introduction, or the results of one section. */
export interface Part {
  name: string
  text: string
}

/**
 * Replaces parts of a results file. Each part stands between two marks; other text is not changed. A new part
 * is added at the end.
 */
export function saveResults(path: string, parts: readonly Part[]): void {
  const before = existsSync(path) ? readFileSync(path, 'utf8') : HEAD
  writeFileSync(path, parts.reduce(replacePart, before))
}

/** Returns the results with one part replaced. */
export function replacePart(results: string, { name, text }: Part): string {
  const [begin, end] = [`<!-- measured: ${name} -->`, `<!-- end: ${name} -->`]
  const part = `${begin}\n\n${text.trim()}\n\n${end}`
  const from = results.indexOf(begin)
  const to = results.indexOf(end)
  if (from < 0 || to < from) return `${results.trimEnd()}\n\n${part}\n`
  return results.slice(0, from) + part + results.slice(to + end.length)
}
