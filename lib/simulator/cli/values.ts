import type { Faults } from '../faults.js'
import { UsageError } from './usage.js'

const UNITS: Record<string, number> = { 'ms': 1, 's': 1_000, 'm': 60_000, '': 1_000 }

/** Returns `500ms`, `4s`, `2m` or `4` (seconds) in ms. */
export function parseTime(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|)$/.exec(text)
  if (match === null) throw new UsageError(`${option}: '${text}' is not a time; write 500ms, 4s or 2m`)
  return Number(match[1]) * UNITS[match[2]!]!
}

/** Returns a number above 0. */
export function parseNumber(option: string, text: string): number {
  const value = Number(text)
  if (!(value > 0) || value === Infinity) {
    throw new UsageError(`${option}: '${text}' must be a number above 0`)
  }
  return value
}

export function parsePair(option: string, text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  if (at < 1) throw new UsageError(`${option}: '${text}' must read like name${separator}value`)
  return [text.slice(0, at), text.slice(at + 1)]
}

/** Parses `text@2s`, or `text` without a time. */
export function parseTimed(option: string, text: string): { text: string; atMs?: number } {
  const match = /^(.*)@([\d.]+(?:ms|s|m|))$/s.exec(text)
  return match === null ? { text } : { text: match[1]!, atMs: parseTime(option, match[2]!) }
}

type FaultParser = (value: string) => Faults

const time =
  (name: keyof Faults): FaultParser =>
  (value) => ({ [name]: parseTime('--fault', value) })
const flag =
  (name: keyof Faults): FaultParser =>
  (value) => {
    if (value !== '') throw new UsageError(`--fault: this fault takes no value, got '${value}'`)
    return { [name]: true }
  }

const FAULTS: Record<string, FaultParser> = {
  'slow-upgrade': time('slowUpgradeMs'),
  'no-metadata': flag('noMetadata'),
  'late-metadata': time('lateMetadataMs'),
  'metadata': (value) => {
    if (value !== 'apostrophe' && value !== 'quote' && value !== 'cut') {
      throw new UsageError(`--fault metadata='${value}' must be apostrophe, quote or cut`)
    }
    return { metadata: value }
  },
  'drop': time('dropAfterMs'),
  'stall': (value) => {
    const [from, length] = parsePair('--fault stall', value, '+')
    return { stall: { fromMs: parseTime('--fault stall', from), forMs: parseTime('--fault stall', length) } }
  },
  'duplicate-webhook': flag('duplicateWebhook'),
  'duplicate-hook': flag('duplicateHook'),
  'hook-before-close': time('hookBeforeCloseMs'),
  'no-hook-after-hangup': flag('noHookAfterHangup'),
  'hang-up-during-upgrade': flag('hangUpDuringUpgrade'),
  'graceful-shutdown': flag('gracefulShutdown')
}

/** Parses `slow-upgrade=1500ms`, `no-metadata`, … */
export function parseFaults(texts: string[]): Faults {
  const faults: Faults = {}
  for (const text of texts) {
    const [name, value = ''] = text.split('=')
    const parse = FAULTS[name!]
    if (parse === undefined) {
      throw new UsageError(`--fault '${name}' is unknown; there are ${Object.keys(FAULTS).join(', ')}`)
    }
    Object.assign(faults, parse(value))
  }
  return faults
}
