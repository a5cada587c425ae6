import { measureCalls } from '../harness/measureCalls.js'
import { number, table } from '../harness/table.js'
import type { Section } from './types.js'
import { BARE_ECHO, ECHO, RECORD } from './variants.js'

const CALLS = 400
const MANY = 1_000
const WITHIN = 2_000

/** Measures how long the echoes of live streams take, and how long it takes to open many sockets. */
export const latency: Section = {
  title: 'Latency',
  async run({ bench, load, log }) {
    const rows: string[][] = []
    for (const variant of [BARE_ECHO, ECHO]) {
      const { echo, lateMs } = await measureCalls(bench, load, variant, {
        calls: CALLS,
        arrivals: 'even',
        warmUp: 4_000,
        measure: 5_000
      })
      if (echo === undefined) throw new Error(`${variant.name}: nothing was echoed`)
      log(`${variant.name}: p99 ${number(echo.p99)} ms`)
      rows.push([
        variant.name,
        number(echo.p50, 2),
        number(echo.p99, 2),
        number(echo.max, 1),
        number(lateMs, 1),
        String(echo.count)
      ])
    }
    const { openedMs, verifiedBytes } = await measureCalls(bench, load, RECORD, {
      calls: MANY,
      arrivals: 'even',
      warmUp: 1_000,
      measure: 1_000
    })
    log(`${MANY} sockets in ${number(openedMs, 0)} ms`)
    return (
      `Echo of ${CALLS} live streams, from the client's write to the echoed frame, ms\n\n` +
      table(['server', 'p50', 'p99', 'max', 'generator late, at most', 'echoes'], rows) +
      `\n\n${MANY} sockets opened at once: ${number(openedMs, 0)} ms to the last 101 (goal ${WITHIN}), none refused; ` +
      `every recording holds all that was sent, from the first message on (${Math.round(verifiedBytes / 2 ** 20)} MiB compared)`
    )
  }
}
