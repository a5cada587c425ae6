import { SIM_OPTIONS } from '../errors.js'
import type { Press } from '../types.js'

/** Digits and when: `atMs` after the application first listened, or, undefined, once the speech is over. */
export interface KeyPress {
  digits: string
  atMs: number | undefined
}

const DIGITS = /^[0-9*#A-Da-d]+$/

/** `'#'`, `'1@2s'`, `'#@3500ms'`, `{ digits, atMs }` or a list of them. Raises FST_JAMBONZ_SIM_OPTIONS. */
export function parsePress(press: Press | undefined): KeyPress[] {
  if (press === undefined) return []
  return (Array.isArray(press) ? press : [press]).map((one) => {
    const { digits, atMs } = typeof one === 'string' ? parseText(one) : { digits: one.digits, atMs: one.atMs }
    checkDigits(digits)
    return { digits, atMs }
  })
}

export function checkDigits(digits: string): void {
  if (!DIGITS.test(digits)) {
    throw new SIM_OPTIONS(
      `press '${digits}': only 0-9, *, # and A-D are keys; a time goes behind an @ ('#@3s')`
    )
  }
}

function parseText(text: string): KeyPress {
  const [digits, at] = text.split('@')
  if (at === undefined) return { digits: digits!, atMs: undefined }
  const match = /^(\d+(?:\.\d+)?)(ms|s)?$/.exec(at)
  if (match === null) throw new SIM_OPTIONS(`press '${text}': the time must read like '#@3s' or '#@3500ms'`)
  return { digits: digits!, atMs: Number(match[1]) * (match[2] === 'ms' ? 1 : 1000) }
}
