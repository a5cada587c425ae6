import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { folder } from '../helpers/build.js'
import { Cluster } from '../helpers/cluster.js'
import { gapsOf, isOpen, openCalls, problemsOf, takeCalls } from '../helpers/clusterCalls.js'
import { BALANCERS, startBalancer, versionOf, type Balancer } from '../helpers/recipes.js'
import { freePort, noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'
import { join } from 'node:path'

const INSTANCES = 3
const LIVE_CALLS = 20
const SHORT_CALLS = 60
/** ms between the starts of two replacements: as long as a rolling restart takes for one instance */
const REPLACE_EVERY = 2_000
/** ms to wait for an event, long enough for a busy machine */
const PATIENCE = 120_000
/** rows of the printed table: the load balancer, and the result */
const results: Array<[string, string]> = []

t.test(
  'the recipes of docs/operations/balancers.md work',
  { skip: noRedis(), timeout: 14 * 60_000 },
  async (t) => {
    const redis = await startRedis(t)
    const client = new Redis(redis.url)
    t.teardown(() => client.disconnect())
    const version = /redis_version:(\S+)/.exec(await client.info('server'))?.[1]
    results.push([
      `Node.js ${process.versions.node}, Redis ${version}, ${process.platform}`,
      'the versions that these tests ran with'
    ])
    for (const balancer of BALANCERS.filter(
      ({ name }) => !process.env.ONLY || process.env.ONLY.includes(name)
    )) {
      const version = versionOf(balancer.version)
      const skip =
        version === undefined && process.env.CI === undefined && `${balancer.name} is not installed`
      t.test(
        `${LIVE_CALLS} calls behind ${balancer.name} continue during a rolling restart, while new calls arrive`,
        { skip },
        (t) => rollBehind(t, balancer, version ?? 'missing', redis.url)
      )
    }
  }
)

async function rollBehind(t: Test, balancer: Balancer, version: string, redisUrl: string): Promise<void> {
  const ports = await Promise.all(Array.from({ length: INSTANCES + 2 }, () => freePort()))
  const [outside = 0, admin = 0, ...instances] = ports
  const { process: child, url } = await startBalancer(balancer, { outside, admin, instances })
  const script = join(import.meta.dirname, '../helpers/clusterInstance.js')
  const cluster = new Cluster(child, script, [redisUrl, folder()])
  t.teardown(async () => {
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
    await cluster.close()
  })
  const args = instances.map((port) => [String(port), String(balancer.linger)])
  await Promise.all(args.map((own) => cluster.add(...own)))
  await until(async () => (await fetch(`${url}/ready`)).ok, 'the balancer to find the instances', PATIENCE)

  const live = openCalls(url, LIVE_CALLS)
  await until(() => cluster.of('stream').size === LIVE_CALLS, 'all calls to be live', PATIENCE)
  const short = takeCalls(url, {
    calls: SHORT_CALLS,
    overMs: INSTANCES * REPLACE_EVERY,
    speechMs: 400,
    speed: 1
  })
  for (const [instance, own] of args.entries()) {
    const replaced = wait(REPLACE_EVERY)
    await cluster.end(instance, 'SIGTERM')
    await cluster.add(...own)
    await replaced
  }
  // If this wait fails, the checks below still report the problems of each call.
  await until(
    () => live.every(({ listens }) => isOpen(listens.at(-1))),
    'all calls to be live again',
    PATIENCE
  ).catch((err: Error) => t.fail(err.message))
  for (const call of live) call.hangUp()
  const stories = [...(await Promise.all(live)), ...(await short)]

  const problems = await problemsOf(stories, cluster, 0)
  const failed = stories.flatMap(({ requests }) => requests).filter(({ status }) => (status ?? 0) >= 400)
  t.strictSame(problems, [])
  t.strictSame(
    failed.map(({ url, status }) => `${status} ${url}`),
    [],
    'no request failed'
  )
  const gaps = gapsOf(stories.slice(0, LIVE_CALLS))
    .map(({ ms }) => ms)
    .sort((a, b) => a - b)
  results.push([
    `${balancer.name} ${version}`,
    `${LIVE_CALLS + SHORT_CALLS - new Set(problems.map((text) => text.slice(0, 36))).size} of ${LIVE_CALLS + SHORT_CALLS} calls; ${failed.length} requests failed; ${gaps.length} handovers, gap ${gaps[gaps.length >> 1]} ms median, ${gaps.at(-1)} ms at most`
  ])
}

t.teardown(() => {
  const rows = results.map(([platform, result]) => `| ${platform} | ${result} |`)
  process.stderr.write(['', '| platform | result |', '|---|---|', ...rows, ''].join('\n') + '\n')
})
