/** Returns a table in Markdown. */
export function table(head: readonly string[], rows: ReadonlyArray<ReadonlyArray<string | number>>): string {
  const line = (cells: ReadonlyArray<string | number>): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...rows.map(line)].join(
    '\n'
  )
}

export function number(value: number, digits = 1): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '-'
}

export function kib(bytes: number): string {
  return (bytes / 1024).toFixed(0)
}

export function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0)
}
