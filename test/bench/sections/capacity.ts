import { measureCalls, type Variant } from '../harness/measureCalls.js'
import { number, table } from '../harness/table.js'
import type { Context, Section } from './types.js'
import { AGENT, BARE, BARE_ECHO, ECHO, READ, RECORD, SDK } from './variants.js'

const FULL = 0.95
/** ms by which an echo or the event loop may be late; with more, there are too many calls */
const TOO_SLOW = 100
/** ms by which the load generator may be late; with more, the run does not count */
const GENERATOR_LATE = 100
const FIRST = 400
const MOST = 4_000
const PRECISION = 20
/** Number of measurements that must all fail, since the host of a virtual machine takes its cores away at times. */
const ATTEMPTS = 2
/** ms before a measurement; with half of this time, the engine still compiles code during the measurement */
const WARM_UP = 8_000

interface Capacity {
  calls: number
  limit: string
}

/**
 * Measures how many calls one core can serve until it uses 95 % CPU, or until echoes or the event loop are
 * 100 ms late.
 */
export const capacity: Section = {
  title: 'Calls per core',
  async run(context) {
    const rows: Array<Array<string | number>> = []
    let sdk = NaN
    for (const variant of [SDK, BARE, RECORD, READ, BARE_ECHO, ECHO, AGENT]) {
      const { calls, limit } = await search(context, variant)
      if (variant === SDK) sdk = calls
      rows.push([variant.name, calls, number(calls / sdk, 2), limit])
    }
    return table(['server', 'calls', 'x SDK', 'limit'], rows)
  }
}

async function search(context: Context, variant: Variant): Promise<Capacity> {
  let good = 0
  let bad = MOST + PRECISION
  let limit = `the load generator's: at least ${MOST}`
  for (
    let calls = FIRST;
    bad - good > PRECISION;
    calls = bad > MOST ? Math.min(good * 2, MOST) : roundDown((good + bad) / 2)
  ) {
    const problem = await failsAt(context, variant, calls)
    context.log(`${variant.name}, ${calls} calls: ${problem ?? 'fine'}`)
    if (problem === undefined) good = calls
    else {
      bad = calls
      limit = problem
    }
    if (good === MOST) break
  }
  return { calls: good, limit }
}

function roundDown(calls: number): number {
  return Math.floor(calls / PRECISION) * PRECISION
}

/** Returns the problem with so many calls; undefined if one of ATTEMPTS measurements finds none. */
async function failsAt(context: Context, variant: Variant, calls: number): Promise<string | undefined> {
  let problem: string | undefined
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    problem = await tooMany(context, variant, calls)
    if (problem === undefined) return undefined
    if (attempt < ATTEMPTS) context.log(`${variant.name}, ${calls} calls: ${problem}; measured again`)
  }
  return problem
}

async function tooMany(
  { bench, load }: Context,
  variant: Variant,
  calls: number
): Promise<string | undefined> {
  try {
    const { cpu, loopDelayP99, echo, lateMs } = await measureCalls(bench, load, variant, {
      calls,
      arrivals: 'ticks',
      warmUp: WARM_UP,
      measure: 4_000
    })
    if (echo && echo.p99 > TOO_SLOW) return `echo p99 ${number(echo.p99, 0)} ms`
    if (cpu > FULL) return `CPU ${number(cpu * 100, 0)} %`
    if (loopDelayP99 > TOO_SLOW) return `event loop delay p99 ${number(loopDelayP99, 0)} ms`
    return lateMs > GENERATOR_LATE ? `the load generator, ${number(lateMs, 0)} ms late` : undefined
  } catch (err) {
    return err instanceof Error ? err.message.slice(0, 80) : String(err)
  }
}
