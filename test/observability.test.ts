import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { promisify } from 'node:util'
import t from 'tap'
import { METRICS } from '../lib/metrics/Metrics.js'

const page = await readFile('docs/observability.md', 'utf8')

t.test('every metric that the documentation names exists', async (t) => {
  const names = new Set(
    Object.values(METRICS).flatMap(({ name, type }) =>
      type === 'histogram' ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]
    )
  )
  const files = await readdir('docs', { recursive: true, encoding: 'utf8' })
  const pages = [
    'README.md',
    ...files.filter((file) => file.endsWith('.md')).map((file) => join('docs', file))
  ]
  for (const path of pages) {
    for (const [name] of (await readFile(path, 'utf8')).matchAll(/\bjambonz_[a-z_]+\b/g)) {
      t.ok(names.has(name), `${path}: ${name}`)
    }
  }
  const alerts = /```yaml\n([^]*?)```/.exec(page)?.[1] ?? ''
  t.ok(alerts.match(/expr: .*jambonz_/g)!.length > 5)
  for (const [, label, values] of alerts.matchAll(/(\w+)=~?"([^"]+)"/g)) {
    for (const value of values!.split('|')) {
      t.ok(
        Object.values(METRICS).some(({ labels }) => labels[label!]?.includes(value)),
        `${label}="${value}"`
      )
    }
  }
})

interface Exported {
  resourceSpans: Array<{
    scopeSpans: Array<{
      scope: { name: string }
      spans: Array<{ name: string; traceId: string; parentSpanId: string }>
    }>
  }>
}

t.test("the tracing set-up of the documentation sends the plugin's spans to a collector", async (t) => {
  const exported: Exported[] = []
  const collector = createServer((request, response) => {
    json(request).then((body) => {
      exported.push(body as Exported)
      response.setHeader('content-type', 'application/json').end('{}')
    })
  })
  await once(collector.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => collector.close())

  // The folder is inside the package, so that an import of the package's name finds this package.
  const folder = join('.tap', `observability-${process.pid}`)
  await mkdir(folder, { recursive: true })
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'tracing.ts'), /```ts\n(\/\/ tracing[^]*?)```/.exec(page)![1]!)
  await writeFile(
    join(folder, 'server.ts'),
    `
import { provider } from './tracing.js'
import Fastify from 'fastify'
import jambonzListen from 'fastify-jambonz-listen'

const fastify = Fastify()
await fastify.register(jambonzListen)
fastify.jambonz.webhook('/in', async () => [{ verb: 'hangup' }])
await fastify.inject({ method: 'POST', url: '/in', payload: { call_sid: 'a' }, headers: { b3: '80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1' } })
await fastify.close()
await provider.shutdown()
`
  )
  const { port } = collector.address() as AddressInfo
  await promisify(execFile)(process.execPath, ['--import', 'tsx', join(folder, 'server.ts')], {
    env: {
      ...process.env,
      _TAPJS_PROCESSINFO_COVERAGE_: '0',
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`
    }
  })
  t.match(exported[0]?.resourceSpans[0]?.scopeSpans, [
    {
      scope: { name: 'fastify-jambonz-listen' },
      spans: [
        { name: 'webhook /in', traceId: '80f198ee56343ba864fe8b2a57d3eff7', parentSpanId: 'e457b5a2e4d86bd1' }
      ]
    }
  ])
})
