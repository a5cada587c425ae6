/** Room for about a second at 8 kHz mono. */
export const SMALL_BLOCK = 16 * 1024
/** Used at rates at which a small block would mean more than two writes a second. */
export const LARGE_BLOCK = 64 * 1024
const SMALL_BLOCK_RATE = 2 * SMALL_BLOCK

/** A piece of memory that gathers audio on its way to a file. */
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
 * The pool that lends blocks to all recordings. It keeps returned blocks for the next borrower, at most as many as
 * there are recordings (`keep`). It lends at most `capacity` bytes at once: a disk that hangs fails recordings, not
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

  /** Returns a block of `size` bytes; undefined if the pool has lent all it may. */
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

  /** Counts a recording that will ask for blocks (1), or no longer will (-1). */
  expect(change: 1 | -1): void {
    this.#keep += change
    for (const free of this.#free.values()) free.length = Math.min(free.length, this.#keep)
  }
}

function createBlock(size: number): Block {
  const memory = new ArrayBuffer(size)
  return { bytes: Buffer.from(memory), samples: new Int16Array(memory), used: 0 }
}
