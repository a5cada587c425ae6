/** Hz that a call may have; nearly all have the first. */
const RATES = [8000, 16_000, 24_000, 32_000, 48_000]
/** ms: jambonz plays in ticks of this length */
const TICK = 20
/** ms of a file that tells one rate from another */
const TELLING = 200

/** A report of jambonz about a file. */
export interface FileReport {
  /** samples that were heard, at the call's rate, which jambonz does not tell */
  lastOffset: number
  /** ms that jambonz read of the file; 0: it did not say */
  playbackMs: number
  /** ms of the whole file */
  durationMs: number
  /** ms since the file was sent */
  elapsedMs: number
  /** We stopped it. */
  stopped: boolean
}

/**
 * The rate of a call, as far as reports of files tell it: a file that was played whole has as many samples as the rate
 * makes of its length. Before any was, it is the first rate at which no more was heard than there was, or was time for.
 */
export class CallRate {
  #known: number | undefined

  /** Returns ms of a file that were heard, exactly. */
  heardMs(report: FileReport): number {
    if (!report.stopped) this.#known ??= RATES.find((rate) => isWhole(report, rate))
    const rate = this.#known ?? RATES.find((each) => isPossible(report, each)) ?? RATES[0]!
    return (report.lastOffset / rate) * 1000
  }
}

function isWhole({ lastOffset, durationMs }: FileReport, rate: number): boolean {
  return durationMs >= TELLING && Math.abs((lastOffset / rate) * 1000 - durationMs) <= TICK
}

function isPossible({ lastOffset, playbackMs, durationMs, elapsedMs }: FileReport, rate: number): boolean {
  const heardMs = (lastOffset / rate) * 1000
  const readMs = playbackMs > 0 ? playbackMs : Infinity
  return heardMs <= Math.min(durationMs, readMs, elapsedMs) + TICK
}
