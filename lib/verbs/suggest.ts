const MAX_LISTED = 40

/** `: did you mean "maxLength"?`, or else what there is to choose from. */
export function didYouMean(word: string, known: readonly string[]): string {
  const plain = simplify(word)
  const near = known
    .map((name) => ({ name, distance: editDistance(plain, simplify(name)) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 4)))
    .sort((a, b) => a.distance - b.distance)[0]
  if (near !== undefined) return `: did you mean "${near.name}"?`
  if (known.length > MAX_LISTED) return ''
  return `: use one of ${known.join(', ')}`
}

/** `max_length`, `MaxLength` and `maxLength` are the same slip. */
const simplify = (word: string) => word.slice(0, 64).replaceAll(/[_-]/g, '').toLowerCase()

/** Letters to replace, add, drop, or swap with their neighbour. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  const at = (row: number, column: number) => (rows[row] as number[])[column] as number
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    rows.push(current)
    for (let column = 1; column <= b.length; column++) {
      const replaced = at(row - 1, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1)
      const swapped =
        a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1] ? at(row - 2, column - 2) + 1 : Infinity
      current.push(Math.min(replaced, swapped, at(row - 1, column) + 1, at(row, column - 1) + 1))
    }
  }
  return at(a.length, b.length)
}
