import { measureCalls, type Measured, type Variant } from '../harness/measureCalls.js'
import { median, spread } from '../harness/statistics.js'
import { kib, mib, number, table } from '../harness/table.js'
import type { Arrivals } from '../load/Pacer.js'
import type { Context, Section } from './types.js'
import { AGENT, BARE, BARE_ECHO, ECHO, PER_MESSAGE, READ, RECORD, SDK, WATCH, withRedis } from './variants.js'

const CALLS = 400
const ROUNDS = { ticks: 3, even: 2 }

/** Measures the CPU per audio message, and compares it with bare ws in the same round. */
export const messages: Section = {
  title: 'CPU per audio message',
  quick: true,
  async run(context) {
    const { quick, redisPort } = context
    const variants = quick
      ? [BARE, RECORD, READ, ECHO, AGENT, SDK]
      : [
          BARE,
          RECORD,
          ...(redisPort === undefined ? [] : [withRedis(RECORD, redisPort)]),
          READ,
          WATCH,
          BARE_ECHO,
          ECHO,
          AGENT,
          SDK,
          PER_MESSAGE
        ]
    const parts: string[] = []
    for (const arrivals of quick ? (['ticks'] as const) : (['ticks', 'even'] as const)) {
      parts.push(await compare(context, variants, arrivals))
    }
    return parts.join('\n\n')
  }
}

async function compare(
  { bench, load, quick, log }: Context,
  variants: readonly Variant[],
  arrivals: Arrivals
): Promise<string> {
  const rounds = quick ? 1 : ROUNDS[arrivals]
  const runs = new Map<Variant, Measured[]>(variants.map((variant) => [variant, []]))
  const floors: number[] = []
  for (let round = 0; round < rounds; round++) {
    for (const variant of variants) {
      const measured = await measureCalls(bench, load, variant, {
        calls: CALLS,
        arrivals,
        // ms before the measurement, in which the engine compiles the code that runs often
        warmUp: quick ? 2_500 : 5_000,
        measure: quick ? 2_000 : 4_000
      })
      runs.get(variant)?.push(measured)
      if (variant === BARE) floors.push(measured.cpuPerMessage)
      log(`${arrivals} ${round + 1}/${rounds} ${variant.name}: ${number(measured.cpuPerMessage)} µs`)
    }
  }
  const rows = Array.from(runs, ([{ name }, measured]) => {
    const costs = measured.map(({ cpuPerMessage }) => cpuPerMessage)
    const ratios = costs.map((cost, round) => cost / (floors[round] ?? NaN))
    const verified = measured.reduce((sum, { verifiedBytes }) => sum + verifiedBytes, 0)
    return [
      name,
      number(median(costs)),
      number(median(ratios), 2),
      `± ${number(spread(ratios) * 50, 0)} %`,
      kib(median(measured.map(({ usedPerCall }) => usedPerCall))),
      mib(median(measured.map(({ grownBy }) => grownBy))),
      number(median(measured.map(({ loopDelayP99 }) => loopDelayP99))),
      verified === 0 ? '' : `${mib(verified)} MiB`
    ]
  })
  const how = arrivals === 'ticks' ? 'arrivals in ticks of 1 ms' : 'arrivals spread evenly'
  return (
    `${CALLS} calls, 8 kHz mono, 50 messages a second each, ${how}; median of ${rounds} interleaved rounds. ` +
    'KiB/call in use: heap and buffers above the idle process, after a garbage collection. MiB grown: resident memory above the idle ' +
    'process, most of which is room for garbage that grows little with the number of calls: see the cost against the number of calls\n\n' +
    table(
      [
        'server',
        'CPU µs/message',
        'x bare ws',
        'spread',
        'KiB/call in use',
        'MiB grown',
        'loop delay p99, ms',
        'verified'
      ],
      rows
    )
  )
}
