/**
 * Returns `count` samples of the test signal `seed`, from sample `from` on, as s16le. The samples differ from
 * place to place, and are the same in each run.
 */
export function pcm(seed: number, from: number, count: number): Buffer {
  const bytes = Buffer.alloc(count * 2)
  for (let at = 0; at < count; at++) {
    bytes.writeInt16LE((Math.imul(from + at + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b)) >> 16, at * 2)
  }
  return bytes
}
