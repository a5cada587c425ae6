import { join } from 'node:path'
import t from 'tap'
import { Bench } from '../bench/harness/Bench.js'

t.test('each webhook server of the benchmark answers signed requests', async (t) => {
  const bench = new Bench((entry) => [join(import.meta.dirname, '../bench', entry.replace(/ts$/, 'js'))])
  t.teardown(() => bench.stop())
  const http = await bench.http()
  for (const name of [
    'signedRoute',
    'webhookHooks',
    'webhookCall',
    'webhookVerb',
    'webhookListen',
    'plugin'
  ] as const) {
    await bench.withServer({ name }, async (_server, port) => {
      const { requests, failures } = await http.ask('run', {
        port,
        path: '/record',
        connections: 1,
        amount: 5
      })
      t.equal(failures, 0, name)
      t.ok(requests >= 5)
    })
  }
})
