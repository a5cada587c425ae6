import { SIM_OPTIONS } from '../errors.js'
import type { Press, TimedKeys } from '../types.js'

/** ms that a key is down, if `holdMs` is not given. */
const HOLD_MS = 100

/** Keys, and when they are pressed: `atMs` after the application first listened; undefined: after the speech. */
export interface KeyPress {
  digits: string
  atMs: number | undefined
  holdMs: number
}

const DIGITS = /^[0-9*#A-Da-d]+$/

/** Parses `'#'`, `'1@2s'`, `'#@3500ms'`, `{ digits, atMs }` or a list of them. Throws FST_JAMBONZ_SIM_OPTIONS. */
export function parsePress(press: Press | undefined): KeyPress[] {
  if (press === undefined) return []
  return (Array.isArray(press) ? press : [press]).map((one) => {
    const { digits, atMs, holdMs = HOLD_MS } = typeof one === 'string' ? parseText(one) : one
    if (typeof digits !== 'string') {
      throw new SIM_OPTIONS(
        `press ${JSON.stringify(one)} must be a string, as in '#' or '1@2s', or { digits, atMs }`
      )
    }
    checkDigits(digits)
    return { digits, atMs, holdMs: checkHold(holdMs) }
  })
}

export function checkDigits(digits: string): void {
  if (!DIGITS.test(digits)) {
    throw new SIM_OPTIONS(
      `press '${digits}': only 0-9, *, # and A-D are keys; a time goes behind an @ ('#@3s')`
    )
  }
}

/** Returns the ms that a key is down. Throws FST_JAMBONZ_SIM_OPTIONS. */
export function checkHold(holdMs: number = HOLD_MS): number {
  if (holdMs > 0 && holdMs < Infinity) return holdMs
  throw new SIM_OPTIONS(`press: holdMs ${String(holdMs)} must be a number of ms above 0`)
}

function parseText(text: string): TimedKeys {
  const [digits, at] = text.split('@')
  if (at === undefined) return { digits: digits! }
  const match = /^(\d+(?:\.\d+)?)(ms|s)?$/.exec(at)
  if (match === null) throw new SIM_OPTIONS(`press '${text}': the time must read like '#@3s' or '#@3500ms'`)
  return { digits: digits!, atMs: Number(match[1]) * (match[2] === 'ms' ? 1 : 1000) }
}
