import { parseArgs } from 'node:util'
import fc from 'fast-check'
import { frames } from './frames.js'
import { gaps } from './gaps.js'
import { hooks } from './hooks.js'
import { messages } from './messages.js'
import { metadata } from './metadata.js'
import { options } from './options.js'
import { partFiles } from './partFiles.js'
import { storeDamage } from './storeDamage.js'
import { pauses } from './pauses.js'
import type { FuzzTarget } from './target.js'
import { verbs } from './verbs.js'
import { wav } from './wav.js'

/**
 * npm run fuzz -- [--cases 200000] [--seed 1] [--only verbs]
 * Passes random input to all code that reads foreign input. Prints the seed of each target, and the smallest
 * input that fails. Exits with 1 if a target fails.
 */
const TARGETS: readonly FuzzTarget[] = [
  verbs,
  options,
  hooks,
  messages,
  metadata,
  frames,
  wav,
  partFiles,
  pauses,
  gaps,
  storeDamage
]
const DEFAULT_CASES = '200000'

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: DEFAULT_CASES },
    seed: { type: 'string' },
    only: { type: 'string' }
  }
})
const cases = Number(values.cases)
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed)
const chosen = TARGETS.filter(({ name }) => values.only === undefined || values.only === name)
if (chosen.length === 0 || !Number.isInteger(cases) || !Number.isInteger(seed)) {
  throw new Error(
    `--cases and --seed are whole numbers, --only is one of ${TARGETS.map(({ name }) => name).join(', ')}`
  )
}

/** An uncaught error fails the run, because the same error would end the process of an application. */
let escaped: unknown
process.on('uncaughtException', (err) => {
  escaped = err
})

const allShares = chosen.reduce((sum, { share }) => sum + share, 0)
let ran = 0
for (const { name, share, begin } of chosen) {
  const numRuns = Math.max(1, Math.round((cases * share) / allShares))
  const startedAt = performance.now()
  const { property, end } = await begin()
  const result = await fc.check(property, { seed, numRuns, endOnFailure: false })
  await end()
  ran += result.numRuns
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  console.log(
    `${name}: ${result.numRuns} cases in ${seconds} s, seed ${result.seed}${result.failed ? ': FAILED' : ''}`
  )
  if (result.failed) {
    console.error(fc.defaultReportMessage(result))
    process.exitCode = 1
  }
  if (escaped !== undefined) {
    console.error(`${name}: an exception escaped, which ends a process`, escaped)
    process.exitCode = 1
    break
  }
}
console.log(`${ran} cases in all`)
process.exit()
