import { measureCalls, type Measured } from '../harness/measureCalls.js'
import { median } from '../harness/statistics.js'
import { number, table } from '../harness/table.js'
import type { Section } from './types.js'
import { BARE_ECHO, ECHO, RECORD } from './variants.js'

const CALLS = 400
/** In one round of a few seconds, a single stall of the machine decides the p99. */
const ROUNDS = 5
const MANY = 1_000
const WITHIN = 2_000

type Echo = NonNullable<Measured['echo']>

/** Measures how long the echoes of live streams take, and how long it takes to open many sockets. */
export const latency: Section = {
  title: 'Latency',
  async run({ bench, load, log }) {
    const variants = [BARE_ECHO, ECHO]
    const rounds = variants.map(() => [] as Array<Echo & { lateMs: number }>)
    for (let round = 0; round < ROUNDS; round++) {
      for (const [at, variant] of variants.entries()) {
        const { echo, lateMs } = await measureCalls(bench, load, variant, {
          calls: CALLS,
          arrivals: 'even',
          // ms, in which the engine compiles the code that runs often
          warmUp: 8_000,
          measure: 5_000
        })
        if (echo === undefined) throw new Error(`${variant.name}: nothing was echoed`)
        log(`${round + 1}/${ROUNDS} ${variant.name}: p99 ${number(echo.p99, 2)} ms`)
        rounds[at]?.push({ ...echo, lateMs })
      }
    }
    const rows = variants.map(({ name }, at) => {
      const echoes = rounds[at] ?? []
      const p99s = echoes.map(({ p99 }) => p99)
      return [
        name,
        number(median(echoes.map(({ p50 }) => p50)), 2),
        number(median(p99s), 2),
        `${number(Math.min(...p99s), 2)} to ${number(Math.max(...p99s), 2)}`,
        number(median(echoes.map(({ max }) => max)), 1),
        number(Math.max(...echoes.map(({ lateMs }) => lateMs)), 1),
        String(echoes.reduce((sum, { count }) => sum + count, 0))
      ]
    })
    const { openedMs, verifiedBytes } = await measureCalls(bench, load, RECORD, {
      calls: MANY,
      arrivals: 'even',
      warmUp: 1_000,
      measure: 1_000
    })
    log(`${MANY} sockets in ${number(openedMs, 0)} ms`)
    return (
      `Echo of ${CALLS} live streams, from the client's write to the echoed frame, ms; median of ${ROUNDS} rounds in turns\n\n` +
      table(['server', 'p50', 'p99', 'p99 of the rounds', 'max', 'generator late, at most', 'echoes'], rows) +
      `\n\n${MANY} sockets opened at once: ${number(openedMs, 0)} ms to the last 101 (goal ${WITHIN}), none refused; ` +
      `every recording holds all that was sent, from the first message on (${Math.round(verifiedBytes / 2 ** 20)} MiB compared)`
    )
  }
}
