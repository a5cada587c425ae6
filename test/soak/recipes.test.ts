import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t from 'tap'
import { folder } from '../helpers/build.js'
import { startCluster } from '../helpers/cluster.js'
import { isOpen, openCalls, problemsOf } from '../helpers/clusterCalls.js'
import { recipe } from '../helpers/recipes.js'
import { freePort, noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const PAGE = 'docs/operations/cluster.md'
/**
 * The program of an instance, with the code of docs/operations/rolling.md. argv: url of Redis, folder of the
 * recordings.
 */
const INSTANCE = `
import Fastify from 'fastify'
import jambonzListen from 'fastify-jambonz-listen'
import { redisStore } from 'fastify-jambonz-listen/redis'
import { Redis } from 'ioredis'

const [url, directory] = process.argv.slice(2)
const fastify = Fastify()
const redis = new Redis(url)
await fastify.register(jambonzListen, { secret: 'a secret of both instances', store: redisStore(redis), recording: { directory } })
fastify.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done' }, { verb: 'hangup' }])
fastify.jambonz.actionHook('/done', async ({ call: { callSid }, listen }) => {
  process.send({ what: 'hook', callSid, listen })
})
fastify.jambonz.statusHook('/status')
fastify.jambonz.calls.events
  .on('stream', ({ callSid }) => process.send({ what: 'stream', callSid }))
  .on('listenEnded', (listen, { callSid }) => process.send({ what: 'listenEnded', callSid, listen }))
fastify.addHook('onClose', () => redis.disconnect())
process.once('disconnect', () => process.exit())

${recipe('docs/operations/rolling.md', 'recipe: onSigterm.js')}

await fastify.listen({ port: 0, host: '127.0.0.1' })
process.send({ what: 'listening', port: fastify.server.address().port })
`
const CALLS = 6
/** ms to wait for an event, long enough for a busy machine */
const PATIENCE = 60_000

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(
    `the recipe for node:cluster restarts a crashed worker, and drains all workers on ${signal} to the primary`,
    { skip: noRedis() },
    async (t) => {
      const redis = await startRedis(t)
      // The folder is inside the package, so that an import of the package's name finds this package.
      const home = join('.tap', `cluster-${process.pid}-${signal}`)
      await mkdir(home, { recursive: true })
      t.teardown(() => rm(home, { recursive: true, force: true }))
      for (const name of ['cluster.js', 'server.js']) {
        await writeFile(join(home, name), recipe(PAGE, `recipe: ${name}`))
      }
      const [directory, port] = [folder(), await freePort()]
      const primary = spawn(process.execPath, ['cluster.js'], {
        cwd: home,
        env: {
          ...process.env,
          PORT: String(port),
          REDIS_URL: redis.url,
          SECRET: 'a secret of all workers',
          RECORDINGS_DIR: directory,
          DRAIN_MS: '60000'
        }
      })
      let output = ''
      for (const stream of [primary.stdout, primary.stderr]) stream.on('data', (data) => (output += data))
      const workers = () => [
        ...new Set(
          Array.from(output.matchAll(/"pid":(\d+),[^\n]*Server listening/g), ([, pid]) => Number(pid))
        )
      ]
      t.teardown(() => {
        primary.kill('SIGKILL')
        for (const pid of workers()) {
          try {
            process.kill(pid, 'SIGKILL')
          } catch {}
        }
      })
      const first = await until(() => workers()[0], 'a worker to listen', PATIENCE)
      const count = workers().length
      process.kill(first, 'SIGKILL')
      await until(() => workers().length > count, 'another worker to listen', PATIENCE)

      const calls = openCalls(`http://127.0.0.1:${port}`, CALLS)
      await until(
        () => calls.every(({ listens }) => isOpen(listens.at(-1))),
        'all calls to be live',
        PATIENCE
      )
      primary.kill(signal)
      await until(
        async () => await fetch(`http://127.0.0.1:${port}/`).then(({ status }) => status === 404),
        'the workers still run'
      )
      t.ok(
        calls.every(({ listens }) => isOpen(listens.at(-1))),
        'no call is cut off'
      )
      for (const call of calls) call.hangUp()
      for (const { errors } of await Promise.all(calls)) t.strictSame(errors, [])
      if (primary.exitCode === null && primary.signalCode === null) await once(primary, 'exit')
      t.same([primary.exitCode, primary.signalCode], [0, null], output.slice(-2_000))
      const names = await readdir(directory, { recursive: true })
      t.equal(names.filter((name) => name.endsWith('.wav')).length, CALLS)
      t.strictSame(
        names.filter((name) => name.includes('.part.')),
        []
      )
    }
  )
}

t.test(
  'on SIGTERM, the code of the documentation hands every call over, and the process exits with 0',
  { skip: noRedis() },
  async (t) => {
    const redis = await startRedis(t)
    // The folder is inside the package, so that an import of the package's name finds this package.
    const home = resolve('.tap', `rolling-${process.pid}`)
    await mkdir(home, { recursive: true })
    t.teardown(() => rm(home, { recursive: true, force: true }))
    await writeFile(join(home, 'instance.mjs'), INSTANCE)
    const { cluster, url } = await startCluster(
      t,
      { instances: 2, script: join(home, 'instance.mjs') },
      redis.url,
      folder()
    )
    const calls = openCalls(url, CALLS)
    await until(() => cluster.of('stream').size === CALLS, 'all calls to be live', PATIENCE)
    const [[{ instance = 0 } = {}] = []] = cluster.of('stream').values()
    cluster.leave(instance)
    t.same(await cluster.end(instance, 'SIGTERM'), { code: 0, signal: null })
    await until(() => calls.every(({ listens }) => isOpen(listens.at(-1))), 'all calls to continue', PATIENCE)
    for (const call of calls) call.hangUp()
    const stories = await Promise.all(calls)
    t.strictSame(await problemsOf(stories, cluster, 0), [])
    t.ok(
      stories.some(({ listens }) => listens.length > 1),
      'the instance that ended had some of the calls'
    )
  }
)
