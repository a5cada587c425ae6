/** Room for about a second at 8 kHz mono. */
export const SMALL_BLOCK = 16 * 1024
/** For rates at which a small block would mean more than two writes a second. */
export const LARGE_BLOCK = 64 * 1024
const SMALL_BLOCK_RATE = 2 * SMALL_BLOCK

/** Memory that audio gathers in on its way to a file. */
export interface Block {
  readonly bytes: Buffer
  /** the same memory as samples */
  readonly samples: Int16Array
  /** bytes filled */
  used: number
}

/** The size of the blocks that audio of this rate (bytes a second) gathers in. */
export function blockSizeFor(byteRate: number): number {
  return byteRate <= SMALL_BLOCK_RATE ? SMALL_BLOCK : LARGE_BLOCK
}

/**
 * Lends blocks to all recordings. Given-back blocks are lent again; no more are kept than there are recordings
 * (`keep`), and no more than `capacity` bytes are lent at once: a disk that stands still costs recordings, never
 * the process.
 */
export class BlockPool {
  readonly #capacity: number
  readonly #free = new Map<number, Block[]>([
    [SMALL_BLOCK, []],
    [LARGE_BLOCK, []]
  ])
  #lent = 0
  #keep = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** bytes lent now */
  get lent(): number {
    return this.#lent
  }

  /** A block of `size` bytes; undefined when the pool has lent all that it may. */
  take(size: number): Block | undefined {
    if (this.#lent + size > this.#capacity) return undefined
    this.#lent += size
    return this.#free.get(size)?.pop() ?? createBlock(size)
  }

  give(block: Block): void {
    const size = block.bytes.length
    this.#lent -= size
    block.used = 0
    const free = this.#free.get(size)
    if (free && free.length < this.#keep) free.push(block)
  }

  /** One recording more (1) or less (-1) that will ask for blocks. */
  expect(change: 1 | -1): void {
    this.#keep += change
    for (const free of this.#free.values()) free.length = Math.min(free.length, this.#keep)
  }
}

function createBlock(size: number): Block {
  const memory = new ArrayBuffer(size)
  return { bytes: Buffer.from(memory), samples: new Int16Array(memory), used: 0 }
}
