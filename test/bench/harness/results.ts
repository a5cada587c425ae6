import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const HEAD = `# Results

Written by \`npm run bench -- --out test/bench/RESULTS.md\`: each run renews the parts between two marks, and leaves what is
written between them. Ratios are those within a round, in which all variants take turns.
`

/** A part of the results file: the figures of one section, or the common introduction. */
export interface Part {
  name: string
  text: string
}

/**
 * Writes each part between its marks in a results file. Text outside the marks is not changed. New parts are added at
 * the end.
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
