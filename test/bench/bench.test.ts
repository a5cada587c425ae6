import { join } from 'node:path'
import t from 'tap'
import { Bench } from './harness/Bench.js'
import { measureCalls } from './harness/measureCalls.js'
import { AGENT, RECORD } from './sections/variants.js'

t.test('the benchmark measures a server, whose recordings equal the sent audio byte for byte', async (t) => {
  const bench = new Bench((entry) => [join(import.meta.dirname, entry.replace(/ts$/, 'js'))])
  t.teardown(() => bench.stop())
  const load = await bench.load()
  for (const variant of [RECORD, AGENT]) {
    const measured = await measureCalls(bench, load, variant, {
      calls: 5,
      arrivals: 'even',
      warmUp: 100,
      measure: 400,
      rehearsal: 100
    })
    t.ok(measured.messages >= 50, `${measured.messages} messages`)
    t.ok(measured.cpuPerMessage > 0)
    t.ok(measured.verifiedBytes >= measured.messages * 320)
    if (variant === AGENT) t.ok((measured.echo?.count ?? 0) > 0, 'the agent speaks')
  }
})
