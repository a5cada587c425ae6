import { measureCalls } from '../harness/measureCalls.js'
import { median } from '../harness/statistics.js'
import { kib, number, table } from '../harness/table.js'
import type { Section } from './types.js'
import { BARE, READ, RECORD } from './variants.js'

const CALLS = [100, 400, 1_000]
const ROUNDS = 1

/** Measures CPU per message and memory per call for increasing numbers of calls. */
export const growth: Section = {
  title: 'Cost against the number of calls',
  async run({ bench, load, log }) {
    const rows: string[][] = []
    for (const variant of [BARE, RECORD, READ]) {
      const cells: string[] = []
      const costs: number[] = []
      for (const calls of CALLS) {
        const runs = []
        for (let round = 0; round < ROUNDS; round++) {
          runs.push(
            await measureCalls(bench, load, variant, {
              calls,
              arrivals: 'even',
              warmUp: 4_000,
              measure: 4_000
            })
          )
        }
        const cost = median(runs.map(({ cpuPerMessage }) => cpuPerMessage))
        costs.push(cost)
        const resident = median(runs.map(({ rssPerCall }) => rssPerCall))
        const used = median(runs.map(({ heapPerCall, externalPerCall }) => heapPerCall + externalPerCall))
        cells.push(`${number(cost)} µs, ${kib(resident)} KiB (${kib(used)})`)
        log(`${variant.name}, ${calls} calls: ${number(cost)} µs`)
      }
      rows.push([variant.name, ...cells, number((costs.at(-1) ?? NaN) / (costs[0] ?? NaN), 2)])
    }
    return (
      'CPU per message and resident memory per call above idle; in brackets what of it is in use after a garbage collection; arrivals spread evenly\n\n' +
      table(['server', ...CALLS.map((calls) => `${calls.toLocaleString('en')} calls`), '1,000 : 100'], rows)
    )
  }
}
