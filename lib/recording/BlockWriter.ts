import { performance } from 'node:perf_hooks'
import { ERR_RECORDING_STALLED } from '../model/errors.js'
import type { Flushable, FlushTimer } from './FlushTimer.js'
import { Levels, type Level } from '../pcm/samples.js'
import type { ResolvedRecordingOptions } from './options.js'
import type { Output } from './types.js'
import { blockAlign, type WavFormat } from '../pcm/wavHeader.js'

/** bytes of a small block: about a second of audio at 8 kHz mono */
export const SMALL_BLOCK = 16 * 1024
/** bytes of a large block, for rates at which small blocks would mean more than two writes a second */
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

/** Returns the size of the blocks for audio of this rate, in bytes a second. */
export function blockSizeFor(byteRate: number): number {
  return byteRate <= SMALL_BLOCK_RATE ? SMALL_BLOCK : LARGE_BLOCK
}

/**
 * The pool of blocks for all recordings. It keeps returned blocks for later use, at most as many as there are
 * recordings (`keep`): with a sixteenth of them, a live call takes 2 KiB less, but a third more CPU. It lends at most
 * `capacity` bytes at once. Therefore recordings fail if the disk hangs, but the process does not run out of memory.
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

  /** Returns a block of `size` bytes; undefined if the pool would lend more than `capacity`. */
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

  /** Changes the number of recordings that use the pool: by 1 when a recording begins, by -1 when it ends. */
  expect(change: 1 | -1): void {
    this.#keep += change
    for (const free of this.#free.values()) free.length = Math.min(free.length, this.#keep)
  }
}

function createBlock(size: number): Block {
  const memory = new ArrayBuffer(size)
  return { bytes: Buffer.from(memory), samples: new Int16Array(memory), used: 0 }
}

/** ms between two updates of the header; players of an unfinished file play the audio up to the last update */
const CHECKPOINT_INTERVAL = 5_000
const SILENCE = Buffer.alloc(LARGE_BLOCK)

export interface BlockWriterDeps {
  options: ResolvedRecordingOptions
  pool: BlockPool
  timer: FlushTimer
}

/**
 * Gathers frames in blocks and hands the blocks to an output, one at a time. Calls `onError` once if the output fails,
 * hangs or does not keep up; the writer then drops all further audio.
 */
export class BlockWriter implements Flushable {
  dueAt = 0
  readonly #output: Output
  readonly #deps: BlockWriterDeps
  readonly #onError: (cause: unknown) => void
  readonly #levels: Levels | undefined
  readonly #blockSize: number
  #block: Block | undefined
  /** blocks of audio, or bytes of silence (number), that wait for the output */
  readonly #queue: Array<Block | number> = []
  #queued = 0
  /** the block that the output is writing; it returns to the pool when the write has ended */
  #writing: Block | undefined
  /** when the output's current operation began, ms of performance.now(); 0 if there is none */
  #askedAt = 0
  /**
   * when the last checkpoint began, ms of performance.now(); -Infinity at first, so that a checkpoint follows
   * the first block, and the file can be played
   */
  #checkpointAt = -Infinity
  #overdue = false
  #stopped = false
  #onIdle: Array<() => void> = []
  readonly #appended = (error?: Error | null): void => this.#onAppended(error)
  readonly #answered = (error?: Error | null): void => this.#onAnswer(error)

  constructor(format: WavFormat, output: Output, deps: BlockWriterDeps, onError: (cause: unknown) => void) {
    this.#output = output
    this.#deps = deps
    this.#onError = onError
    this.#levels = deps.options.levels ? new Levels(format.channels) : undefined
    this.#blockSize = blockSizeFor(format.sampleRate * blockAlign(format))
    deps.pool.expect(1)
    deps.timer.watch(this)
    this.#askedAt = performance.now()
    output.open().then(
      () => this.#onAnswer(),
      (error: Error) => this.#onAnswer(error)
    )
  }

  get levels(): Level[] | undefined {
    return this.#levels?.channels
  }

  append(frame: Buffer): void {
    const block = this.#block ?? this.#take()
    if (block === undefined) return
    const end = block.used + frame.length
    if (end < this.#blockSize) {
      block.bytes.set(frame, block.used)
      block.used = end
    } else {
      this.#appendAcross(block, frame)
    }
  }

  /** Appends silence. Silence of any length takes no memory. */
  silence(bytes: number): void {
    if (bytes === 0 || this.#stopped) return
    const block = this.#block
    if (block && block.used + bytes < this.#blockSize) {
      block.bytes.fill(0, block.used, block.used + bytes)
      block.used += bytes
      return
    }
    this.#seal()
    this.#queue.push(bytes)
    this.#pump()
  }

  flush(): void {
    // While the output is busy, the block continues to fill up. The block is handed over when the output is
    // free.
    if (this.#askedAt > 0) this.#overdue = true
    else this.#seal()
  }

  watch(now: number): void {
    const { writeTimeout } = this.#deps.options
    if (this.#askedAt === 0 || now - this.#askedAt < writeTimeout) return
    this.#onError(
      new ERR_RECORDING_STALLED(
        this.#output.name,
        `the disk or sink has not answered for ${writeTimeout} ms. Look at the disk or the sink`
      )
    )
  }

  /** Runs an operation of the output with the timeout of a write. The output must be drained. */
  async guard<T>(operation: Promise<T>): Promise<T> {
    this.#askedAt = performance.now()
    try {
      return await operation
    } finally {
      this.#askedAt = 0
    }
  }

  /** Resolves when the output has taken everything written so far, or the writer has stopped. */
  async drain(): Promise<void> {
    this.#seal()
    await this.idle()
  }

  /** Resolves when the output has no operation under way. */
  async idle(): Promise<void> {
    if (this.#askedAt > 0) {
      await new Promise<void>((resolve) => this.#onIdle.push(resolve))
    }
  }

  /** Drops the blocks that wait, and all further audio. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    const { pool, timer } = this.#deps
    timer.unwatch(this)
    if (this.#block) pool.give(this.#block)
    for (const piece of this.#queue) if (typeof piece !== 'number') pool.give(piece)
    this.#block = undefined
    this.#queue.length = 0
    pool.expect(-1)
  }

  #appendAcross(first: Block, frame: Buffer): void {
    let block: Block | undefined = first
    for (let at = 0; block !== undefined;) {
      const copied = frame.copy(block.bytes, block.used, at)
      block.used += copied
      at += copied
      if (block.used === this.#blockSize) this.#seal()
      if (at === frame.length) return
      block = this.#take()
    }
  }

  #take(): Block | undefined {
    if (this.#stopped) return undefined
    const { pool, timer, options } = this.#deps
    if (this.#queued >= options.maxBuffered) return this.#overflow(this.#queued, 'recording.maxBuffered')
    this.#block = pool.take(this.#blockSize)
    if (this.#block === undefined) {
      return this.#overflow(pool.lent, 'recording.maxMemory (all recordings together)')
    }
    timer.due(this)
    return this.#block
  }

  #overflow(bytes: number, option: string): undefined {
    this.#onError(
      new ERR_RECORDING_STALLED(
        this.#output.name,
        `${bytes} bytes wait for a disk or sink that does not keep up. Make it faster, or raise ${option}`
      )
    )
  }

  #seal(): void {
    const block = this.#block
    if (block === undefined) return
    this.#block = undefined
    this.dueAt = 0
    this.#overdue = false
    this.#queue.push(block)
    this.#queued += this.#blockSize
    this.#pump()
  }

  #pump(): void {
    if (this.#askedAt > 0 || this.#stopped) return
    const piece = this.#queue[0]
    if (piece === undefined) return
    this.#askedAt = performance.now()
    if (typeof piece === 'number') this.#writeSilence(piece)
    else this.#writeBlock(piece)
  }

  #writeBlock(block: Block): void {
    this.#queue.shift()
    this.#writing = block
    this.#levels?.add(block.samples, block.used / Int16Array.BYTES_PER_ELEMENT)
    this.#output.append(block.bytes, block.used, this.#appended)
  }

  #writeSilence(bytes: number): void {
    const length = Math.min(bytes, SILENCE.length)
    if (length === bytes) this.#queue.shift()
    else this.#queue[0] = bytes - length
    this.#levels?.addSilence(length / Int16Array.BYTES_PER_ELEMENT)
    this.#output.append(SILENCE, length, this.#appended)
  }

  #onAppended(error?: Error | null): void {
    if (this.#writing) {
      this.#queued -= this.#blockSize
      this.#deps.pool.give(this.#writing)
      this.#writing = undefined
    }
    const due =
      this.#askedAt - this.#checkpointAt >= CHECKPOINT_INTERVAL || this.#deps.options.fsync === 'flush'
    if (error || this.#stopped || !due) return this.#onAnswer(error)
    this.#checkpointAt = this.#askedAt
    this.#output.checkpoint(this.#answered)
  }

  /** Handles the end of the output's operation, and starts the next operation. */
  #onAnswer(error?: Error | null): void {
    this.#askedAt = 0
    if (error) this.#onError(error)
    else if (this.#overdue && this.#queue.length === 0) this.#seal()
    else this.#pump()
    if (this.#askedAt > 0) return
    for (const resolve of this.#onIdle.splice(0)) resolve()
  }
}
