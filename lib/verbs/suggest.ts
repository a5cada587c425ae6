const MAX_LISTED = 40

/** ` (did you mean "maxLength"?)`, or else what there is to choose from. */
export function didYouMean (word: string, known: readonly string[]): string {
  const plain = simplify(word)
  const near = known
    .map(name => ({ name, distance: editDistance(plain, simplify(name)) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 4)))
    .sort((a, b) => a.distance - b.distance)[0]
  if (near !== undefined) return `: did you mean "${near.name}"?`
  if (known.length === 0 || known.length > MAX_LISTED) return ''
  return `: use one of ${known.join(', ')}`
}

/** `max_length`, `MaxLength` and `maxLength` are the same slip. */
const simplify = (word: string) => word.slice(0, 64).replaceAll(/[_-]/g, '').toLowerCase()

function editDistance (a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}
