import { measureCalls } from '../harness/measureCalls.js'
import { median } from '../harness/statistics.js'
import { kib, mib, number, table } from '../harness/table.js'
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
      const grown: number[] = []
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
        const resident = median(runs.map(({ grownBy }) => grownBy))
        grown.push(resident)
        const used = median(runs.map(({ usedPerCall }) => usedPerCall))
        cells.push(`${number(cost)} µs, ${mib(resident)} MiB, ${kib(used)} KiB/call`)
        log(`${variant.name}, ${calls} calls: ${number(cost)} µs`)
      }
      const first = { calls: CALLS[0] ?? NaN, cost: costs[0] ?? NaN, grown: grown[0] ?? NaN }
      const last = { calls: CALLS.at(-1) ?? NaN, cost: costs.at(-1) ?? NaN, grown: grown.at(-1) ?? NaN }
      const oneMore = (last.grown - first.grown) / (last.calls - first.calls)
      rows.push([variant.name, ...cells, number(last.cost / first.cost, 2), kib(oneMore)])
    }
    return (
      'CPU per message; MiB of resident memory above the idle process, with garbage that is not collected yet; KiB/call of heap and ' +
      'buffers in use, after a garbage collection; arrivals spread evenly. Of the resident memory a part does not depend on the number ' +
      'of calls: the young generation, and room for garbage. So one more call costs what the memory grows by from 100 to 1,000 calls, ' +
      'divided by 900\n\n' +
      table(
        [
          'server',
          ...CALLS.map((calls) => `${calls.toLocaleString('en')} calls`),
          'CPU, 1,000 : 100',
          'one more call, KiB resident'
        ],
        rows
      )
    )
  }
}
