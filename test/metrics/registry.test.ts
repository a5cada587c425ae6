import { AggregatorRegistry, Counter, register, Registry, type OpenMetricsContentType } from 'prom-client'
import t from 'tap'
import { METRICS } from '../../lib/metrics/Metrics.js'
import type { MetricsRegistry } from '../../lib/metrics/instruments.js'
import { build } from '../helpers/build.js'
import { callWebhook } from '../helpers/payloads.js'

async function call(app: Awaited<ReturnType<typeof build>>): Promise<void> {
  await app.inject({ method: 'POST', url: '/in', payload: callWebhook() })
}

async function withWebhook(t: Parameters<typeof build>[0], registry: MetricsRegistry) {
  const app = await build(t, { registry })
  app.jambonz.webhook('/in', async () => [{ verb: 'hangup' }])
  return app
}

/** Removes the empty lines that prom-client puts between two metrics. */
const joined = (text: string) => text.replaceAll('\n\n', '\n')

t.test('a registry of prom-client has the metrics of both application and plugin', async (t) => {
  const registry = new Registry()
  const theirs = new Counter({ name: 'theirs_total', help: "the application's own", registers: [registry] })
  const app = await withWebhook(t, registry)
  theirs.inc(3)
  await call(app)
  const text = await registry.metrics()
  t.match(text, /^theirs_total 3$/m)
  t.match(text, /^jambonz_calls_total 1$/m)
  t.ok(joined(text).endsWith(app.jambonz.metrics()), 'both texts are equal')

  t.test('the metrics have the default labels of the registry', async (t) => {
    registry.setDefaultLabels({ zone: 'a' })
    t.match(await registry.metrics(), /^jambonz_calls_total\{zone="a"\} 1$/m)
    t.match(app.jambonz.metrics(), /^jambonz_calls_total 1$/m)
  })

  t.test("single metrics, a merged registry and a cluster's workers give the same values", async (t) => {
    t.match(await registry.getSingleMetricAsString('jambonz_calls_total'), /^jambonz_calls_total.* 1$/m)
    t.match(await Registry.merge([registry, new Registry()]).metrics(), /^jambonz_calls_total 1$/m)
    const worker = await registry.getMetricsAsJSON()
    const cluster = await AggregatorRegistry.aggregate([worker, worker]).metrics()
    t.match(cluster, /^jambonz_calls_total\{zone="a"\} 2$/m)
    t.match(cluster, /^jambonz_store_available\{zone="a"\} 1$/m, 'the lowest value of all workers')
    t.match(cluster, /^jambonz_hook_wait_seconds_bucket\{.*le="\+Inf".*\} 0$/m)
  })

  t.test('a reset sets counters to 0 and keeps gauges', async (t) => {
    registry.resetMetrics()
    t.match(app.jambonz.metrics(), /^jambonz_calls_total 0$/m)
    t.match(app.jambonz.metrics(), /^jambonz_store_available 1$/m)
  })
})

t.test('metrics in OpenMetrics format have the names that the format requires', async (t) => {
  const registry = new Registry<OpenMetricsContentType>()
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  const first = await withWebhook(t, registry)
  await call(first)
  t.match(await registry.metrics(), /# TYPE jambonz_calls counter\njambonz_calls_total 1\n/)
  const second = await withWebhook(t, registry)
  await call(second)
  const text = await registry.metrics()
  t.equal(text.match(/# TYPE jambonz_calls counter/g)?.length, 1)
  t.match(text, /^jambonz_calls_total 2$/m)
})

t.test(
  'several registrations of the plugin in one process are counted together in one registry',
  async (t) => {
    const registry = new Registry()
    const first = await withWebhook(t, registry)
    const second = await withWebhook(t, registry)
    await call(first)
    await call(second)
    await call(second)
    t.match(await registry.metrics(), /^jambonz_calls_total 3$/m)
    t.match(
      first.jambonz.metrics(),
      /^jambonz_calls_total 1$/m,
      'metrics() has the values of its own registration only'
    )

    t.test('the metrics show an instance that drains', async (t) => {
      await second.jambonz.drain()
      t.match(await registry.metrics(), /^jambonz_draining 1$/m)
    })

    t.test('a closed instance keeps its counters and removes its gauges', async (t) => {
      await second.close()
      const text = await registry.metrics()
      t.match(text, /^jambonz_calls_total 3$/m)
      t.match(text, /^jambonz_draining 0$/m)
      await first.close()
      const last = await registry.metrics()
      t.match(last, /^jambonz_calls_total 3$/m)
      t.notMatch(last, /^jambonz_draining \d/m)
    })

    t.test('a cleared registry has the metrics again after the next registration', async (t) => {
      registry.clear()
      await withWebhook(t, registry)
      t.match(await registry.metrics(), /^jambonz_calls_total 3$/m)
    })
  }
)

t.test(
  'a value that is no registry, or a registry that already has our metric names, is refused',
  async (t) => {
    const refused = (registry: unknown, message: RegExp) =>
      t.rejects(build(t, { registry: registry as MetricsRegistry }), { code: 'FST_JAMBONZ_OPTIONS', message })
    await refused(
      { register },
      /^fastify-jambonz-listen: registry: has no registerMetric\(\): pass .*prom-client/
    )
    await refused('default', /^fastify-jambonz-listen: registry: .*prom-client/)
    await refused({ registerMetric: true }, /^fastify-jambonz-listen: registry: has no registerMetric\(\)/)
    const registry = new Registry()
    const { name, help } = METRICS.calls
    registry.registerMetric(new Counter({ name, help, registers: [] }))
    await refused(
      registry,
      /^fastify-jambonz-listen: registry: A metric with the name jambonz_calls_total has already been registered\. /
    )
  }
)
