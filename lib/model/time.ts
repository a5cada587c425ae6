import { MAX_TIMER_MS } from './checkOptions.js'

/** Resolves like `promise`, or to undefined after `ms`. Infinity means no limit. */
export async function withinMs<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, Math.min(ms, MAX_TIMER_MS), undefined)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Returns the time of this machine's clock, ms since the epoch, for times that others read. This clock may be
 * set, and then jumps, so durations are measured with `performance.now()`.
 */
export function wallClock(): number {
  return Date.now()
}

let told = { at: NaN, text: '' }

/**
 * Returns the time of this machine's clock as ISO 8601 text. It keeps the text of the last millisecond, since to make
 * one takes as long as half a write to a call.
 */
export function isoTime(): string {
  const at = wallClock()
  if (at !== told.at) told = { at, text: new Date(at).toISOString() }
  return told.text
}
