import { measureCalls, type Variant } from '../harness/measureCalls.js'
import { kib, number, table } from '../harness/table.js'
import type { Section } from './types.js'
import { AGENT, READ, RECORD } from './variants.js'

/**
 * Measures CPU and memory of many calls on one core. The documentation computes the needs of larger
 * installations from these figures.
 */
export const scale: Section = {
  title: 'Many calls on one core',
  async run({ bench, load, redisPort, quick, log }) {
    const cluster = (workers: number): Variant => ({
      ...RECORD,
      name: `plugin: recording, Redis store, ${workers} processes`,
      server: { name: 'cluster', workers, ...(redisPort !== undefined && { redisPort }) }
    })
    const rows: Array<Array<string | number>> = []
    for (const { variant, calls } of [
      { variant: RECORD, calls: [1_000, 2_000, 3_000] },
      ...(redisPort === undefined ? [] : [{ variant: cluster(2), calls: [1_000, 2_000] }]),
      { variant: READ, calls: [500, 1_000] },
      { variant: AGENT, calls: [500] }
    ]) {
      for (const count of quick ? calls.slice(-1) : calls) {
        const { cpu, rssPerCall, openedMs, loopDelayP99, lateMs } = await measureCalls(bench, load, variant, {
          calls: count,
          arrivals: 'ticks',
          warmUp: 4_000,
          measure: 4_000
        })
        log(`${variant.name}, ${count} calls: ${number(cpu * 100, 0)} %`)
        rows.push([
          variant.name,
          count,
          number(cpu * 100, 0),
          number((cpu * 1_000_000) / count, 0),
          kib(rssPerCall),
          number(loopDelayP99),
          number(openedMs, 0),
          number(lateMs, 0)
        ])
      }
    }
    return (
      'Processes share one core. A call writes 16 kB a second to the disk where it is recorded, twice as much with both sides.\n\n' +
      table(
        [
          'server',
          'calls',
          'CPU %',
          'CPU µs/s a call',
          'KiB/call',
          'loop delay p99, ms',
          'opened in ms',
          'generator late, ms'
        ],
        rows
      )
    )
  }
}
