import type { Writable } from 'node:stream'

/** An output stream; a terminal if `isTTY`. */
export type Output = Writable & { isTTY?: boolean; columns?: number }

const ERASE_LINE = '\r\x1b[2K'
const REDRAW_MS = 100
const METER_CELLS = 10
const FLOOR_DB = -60
const DEFAULT_COLUMNS = 80

/** Prints lines. In a terminal it also draws a status line below the other lines, ten times a second. */
export class Terminal {
  readonly #output: Output
  #status: (() => string) | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(output: Output) {
    this.#output = output
  }

  line(text: string): void {
    if (this.#status === undefined) {
      this.#output.write(`${text}\n`)
      return
    }
    this.#output.write(`${ERASE_LINE}${text}\n`)
    this.#draw()
  }

  /** Shows a status line below the other lines, only in a terminal. */
  showStatus(status: () => string): void {
    if (this.#output.isTTY !== true) return
    this.#status = status
    this.#timer = setInterval(() => this.#draw(), REDRAW_MS)
    this.#draw()
  }

  hideStatus(): void {
    if (this.#status === undefined) return
    clearInterval(this.#timer)
    this.#status = undefined
    this.#output.write(ERASE_LINE)
  }

  #draw(): void {
    const { columns = 0 } = this.#output
    // A terminal that does not know its width says 0.
    const width = (columns === 0 ? DEFAULT_COLUMNS : columns) - 1
    this.#output.write(`${ERASE_LINE}${[...this.#status!()].slice(0, width).join('')}`)
  }
}

/** Returns a level between 0 and 1 as a bar, in decibels from -60 to 0. */
export function meter(level: number): string {
  const db = level === 0 ? FLOOR_DB : Math.max(FLOOR_DB, 20 * Math.log10(level))
  return bar((db - FLOOR_DB) / -FLOOR_DB)
}

/** Returns a share between 0 and 1 as a bar. */
export function bar(share: number): string {
  const cells = Math.round(Math.min(1, Math.max(0, share)) * METER_CELLS)
  return `▕${'█'.repeat(cells)}${'·'.repeat(METER_CELLS - cells)}▏`
}
