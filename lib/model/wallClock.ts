/**
 * Returns the time of this machine's clock, ms since the epoch, for times that others read. This clock may be set, and
 * then jumps: durations are measured with `performance.now()`.
 */
export function wallClock(): number {
  return Date.now()
}
