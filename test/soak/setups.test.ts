import { execFile } from 'node:child_process'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import jambonzListen, { type Listen } from '../../lib/index.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { folder, listening } from '../helpers/build.js'
import { startCluster } from '../helpers/cluster.js'
import {
  otherwiseRecorded,
  isOpen,
  noise,
  openCalls,
  problemsOf,
  takeCalls
} from '../helpers/clusterCalls.js'
import { recipe } from '../helpers/recipes.js'
import { freePort, noRedis, startRedis, startSentinel, type RedisServer } from '../helpers/redis.js'
import { until } from '../helpers/until.js'
import { certificate } from '../simulator/certificate.js'

const INSTANCES = 3
const CALLS = 20
/** ms to wait for an event, long enough for a busy machine */
const PATIENCE = 120_000
/** ms without an answer after which a sentinel declares the master dead */
const DOWN_AFTER = 1_000
const SLOTS = 16_384
/**
 * A process manager for which the documentation has a recipe. The test installs it, because it is no
 * dependency of the project.
 */
const PM2 = 'pm2@7.0.4'
const run = promisify(execFile)

/** rows of the printed table: the set-up, and the result */
const results: Array<[string, string]> = []
t.teardown(() => {
  const rows = results.map(([platform, result]) => `| ${platform} | ${result} |`)
  process.stderr.write(['', '| platform | result |', '|---|---|', ...rows, ''].join('\n') + '\n')
})

t.test(
  `${CALLS} calls over ${INSTANCES} instances are correlated in a Redis Cluster of three masters`,
  { skip: noRedis() },
  async (t) => {
    const url = await redisCluster(t)
    const { cluster, url: balancer } = await startCluster(t, INSTANCES, url, folder())
    const stories = await takeCalls(balancer, { calls: CALLS, overMs: 1_000, speechMs: 1_000, speed: 1 })
    const problems = await problemsOf(stories, cluster, 0)
    t.strictSame(problems, [])
    results.push(['Redis Cluster of three masters', `${CALLS - problems.length} of ${CALLS} calls`])
  }
)

t.test(`${CALLS} live calls continue while Sentinel replaces the master`, { skip: noRedis() }, async (t) => {
  const { url, master, sentinel } = await sentinels(t)
  const { cluster, url: balancer } = await startCluster(t, INSTANCES, url, folder())
  const live = openCalls(balancer, CALLS)
  await until(() => cluster.of('stream').size === CALLS, 'all calls to be live', PATIENCE)
  const began = performance.now()
  await master.kill()
  await until(
    async () => {
      const [, port] = (await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'voice')) as [
        string,
        string
      ]
      return Number(port) !== master.port
    },
    'another master',
    PATIENCE
  )
  const ms = Math.round(performance.now() - began)
  t.ok(
    live.every(({ listens }) => isOpen(listens.at(-1))),
    'no call is cut off'
  )
  const later = await takeCalls(balancer, { calls: CALLS, overMs: 1_000, speechMs: 1_000, speed: 1 })
  for (const call of live) call.hangUp()
  const stories = [...(await Promise.all(live)), ...later]
  const problems = await problemsOf(stories, cluster, 0)
  t.strictSame(problems, [])
  results.push([
    'Redis Sentinel, the master killed',
    `${2 * CALLS - problems.length} of ${2 * CALLS} calls; another master after ${ms} ms`
  ])
})

for (const [name, server] of [
  ['HTTPS, ended by Fastify', () => Fastify({ https: certificate })],
  [
    'HTTP/2 with HTTP/1.1, ended by Fastify',
    () => Fastify({ http2: true, https: { ...certificate, allowHTTP1: true } })
  ]
] as ReadonlyArray<[string, () => FastifyInstance]>) {
  t.test(`${CALLS} calls are correlated over ${name}`, async (t) => {
    const { app, listens } = await recorder(t, server())
    const address = await listening(app)
    const stories = await Promise.all(
      Array.from({ length: CALLS }, (_, i) =>
        simulateCall({ url: `${address}/call`, speech: noise(i, 1_000), speed: 1, allowSelfSigned: true })
      )
    )
    const problems = stories.flatMap((story) => [
      ...story.errors,
      ...otherwiseRecorded(story, listens.get(story.callSid))
    ])
    t.strictSame(problems, [])
    results.push([name, `${CALLS - problems.length} of ${CALLS} calls`])
  })
}

t.test(
  `pm2 reloads an application with ${CALLS} live calls`,
  { skip: noRedis(), timeout: 10 * 60_000 },
  async (t) => {
    const redis = await startRedis(t)
    // The folder is inside the package, so that an import of the package's name finds this package.
    const home = resolve('.tap', `pm2-${process.pid}`)
    await mkdir(home, { recursive: true })
    for (const name of ['ecosystem.config.cjs', 'server.js']) {
      await writeFile(join(home, name), recipe('docs/operations/cluster.md', `recipe: ${name}`))
    }
    const tools = folder()
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefix', tools, PM2], {
      env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' }
    })
    const [directory, port] = [folder(), await freePort()]
    const env = {
      ...process.env,
      NODE_OPTIONS: '',
      NODE_V8_COVERAGE: '',
      PM2_HOME: join(tools, 'home'),
      PORT: String(port),
      REDIS_URL: redis.url,
      SECRET: 'a secret of all processes',
      RECORDINGS_DIR: directory
    }
    const pm2 = (...args: string[]) => run(join(tools, 'node_modules/.bin/pm2'), args, { cwd: home, env })
    t.teardown(async () => {
      await pm2('kill')
      await rm(home, { recursive: true, force: true })
    })
    await pm2('start', 'ecosystem.config.cjs')
    const url = `http://127.0.0.1:${port}`
    await until(
      async () =>
        await fetch(url).then(
          ({ status }) => status === 404,
          () => false
        ),
      'pm2 to start the application',
      PATIENCE
    )
    const live = openCalls(url, CALLS)
    await until(() => live.every(({ listens }) => isOpen(listens.at(-1))), 'all calls to be live', PATIENCE)
    const pids = async () =>
      (JSON.parse((await pm2('jlist')).stdout) as Array<{ pid: number }>).map(({ pid }) => pid)
    const before = await pids()
    const reloaded = pm2('reload', 'voice')
    await until(async () => (await pids()).some((pid) => !before.includes(pid)), 'a new process', PATIENCE)
    // The new processes take these calls. Meanwhile the old processes wait for the end of their calls.
    const later = await takeCalls(url, { calls: CALLS, overMs: 1_000, speechMs: 500, speed: 1 })
    t.ok(
      live.every(({ listens }) => isOpen(listens.at(-1))),
      'no call is cut off'
    )
    for (const call of live) call.hangUp()
    const stories = [...(await Promise.all(live)), ...later]
    await reloaded
    const errors = stories.flatMap((story) => story.errors)
    t.strictSame(errors, [])
    const names = await readdir(directory, { recursive: true })
    t.equal(names.filter((name) => name.endsWith('.wav') && !name.includes('.part.')).length, 2 * CALLS)
    results.push([PM2, `${2 * CALLS - errors.length} of ${2 * CALLS} calls`])
  }
)

/** Starts a Redis Cluster of three masters. Resolves to the url that clusterInstance.ts takes. */
async function redisCluster(t: Test): Promise<string> {
  const servers = await Promise.all(
    Array.from({ length: 3 }, () =>
      startRedis(t, '--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1')
    )
  )
  const clients = servers.map(({ url }) => new Redis(url))
  t.teardown(() => clients.forEach((client) => client.disconnect()))
  const first = servers[0]!
  for (const [i, client] of clients.entries()) {
    const bound = (share: number) => Math.floor((share * SLOTS) / clients.length)
    await client.call('CLUSTER', 'ADDSLOTSRANGE', bound(i), bound(i + 1) - 1)
    await client.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
    if (i > 0) await client.call('CLUSTER', 'MEET', '127.0.0.1', first.port)
  }
  for (const client of clients) {
    await until(
      async () =>
        /cluster_state:ok[^]*cluster_known_nodes:3/.test(String(await client.call('CLUSTER', 'INFO'))),
      'the masters to know each other',
      PATIENCE
    )
  }
  return first.url.replace('redis:', 'redis-cluster:')
}

/** Starts a master, a replica, and one sentinel, which needs no other sentinel to agree. */
async function sentinels(t: Test): Promise<{ url: string; master: RedisServer; sentinel: Redis }> {
  const master = await startRedis(t)
  await startRedis(t, '--replicaof', `127.0.0.1 ${master.port}`)
  const file = join(folder(), 'sentinel.conf')
  await writeFile(
    file,
    [
      `sentinel monitor voice 127.0.0.1 ${master.port} 1`,
      `sentinel down-after-milliseconds voice ${DOWN_AFTER}`,
      'sentinel failover-timeout voice 10000'
    ].join('\n')
  )
  const server = await startSentinel(t, file)
  const sentinel = new Redis(server.url)
  t.teardown(() => sentinel.disconnect())
  await until(
    async () => ((await sentinel.call('SENTINEL', 'REPLICAS', 'voice')) as unknown[]).length === 1,
    'the sentinel to know the replica',
    PATIENCE
  )
  return { url: server.url.replace('redis:', 'redis-sentinel:'), master, sentinel }
}

/**
 * Starts an application that records. It collects, for each call, the listen that its actionHook handler
 * received.
 */
async function recorder(
  t: Test,
  app: FastifyInstance
): Promise<{ app: FastifyInstance; listens: Map<string, Listen> }> {
  t.teardown(() => app.close())
  await app.register(jambonzListen, { recording: { directory: folder() } })
  const listens = new Map<string, Listen>()
  app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done' }])
  app.jambonz.actionHook('/done', async ({ listen }) => {
    listens.set(listen.callSid, listen)
  })
  return { app, listens }
}
