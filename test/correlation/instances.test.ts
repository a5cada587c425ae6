import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Listen } from '../../lib/index.js'
import { redisStore } from '../../lib/store/redis.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { noRedis, startRedis, watchCommands, type RedisServer } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const CALLS = 40
/**
 * ms that a hook may take (median). A hook that waited for the next batch of audio would take some 400 ms, at
 * most 800.
 */
const SOON = 150

async function instance(t: Test, { url }: RedisServer): Promise<{ app: FastifyInstance; base: string }> {
  const app = await build(t, {
    secret: 'the same on both instances',
    recording: { directory: folder() },
    store: redisStore(new Redis(url, { lazyConnect: true }))
  })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
  app.jambonz.webhook('/say', async () => [{ verb: 'say', text: 'Hello.' }])
  app.jambonz.actionHook('/done', async ({ listen }) => [{ verb: 'tag', data: { listen } }])
  return { app, base: await listening(app) }
}

t.test('hooks and webhooks on two instances with a shared Redis', { skip: noRedis() }, async (t) => {
  const server = await startRedis(t)
  const [holder, other] = [await instance(t, server), await instance(t, server)]

  t.test('when a hook arrives, the instance that has the socket reads its last audio at once', async (t) => {
    const took: number[] = []
    for (let i = 0; i < CALLS; i++) {
      const asked = await askForListen(other.app, '/in', holder.base)
      const streams = once(holder.app.jambonz.calls.events, 'stream')
      const socket = await asked.open()
      socket.send(asked.metadata())
      for (let frame = 0; frame < 5; frame++) socket.send(ramp(20))
      await streams
      // Without the hook, the instance would read this last audio, and the close, only with the next batch.
      socket.send(ramp(100))
      socket.close(1000)
      const before = performance.now()
      const [{ data }] = (await asked.hook({ dial_call_duration: 0 })) as [{ data: { listen: Listen } }]
      took.push(performance.now() - before)
      t.match(data.listen, { state: 'ended', endReason: 'closed', audio: { durationMs: 200 } })
    }
    took.sort((a, b) => a - b)
    const [p50, p99] = [took[CALLS / 2] ?? NaN, took.at(-1) ?? NaN]
    t.comment(`p50 ${p50.toFixed(1)} ms, maximum ${p99.toFixed(1)} ms`)
    t.ok(p50 < SOON, `p50 ${p50} ms`)
  })

  t.test(
    'a webhook takes one round trip to Redis before its handler, and one more if the answer has a listen',
    async (t) => {
      const sent = await watchCommands(t, server)
      const commandsOf = async (url: string): Promise<string[]> => {
        const callSid = `trips-${url.slice(1)}`
        for (const sid of ['warm', callSid]) {
          await holder.app.inject({ method: 'POST', url, payload: { call_sid: sid } })
        }
        await holder.app.jambonz.calls.list()
        return sent.filter((args) => args.some((arg) => arg.includes(callSid))).map(([name = '']) => name)
      }
      // The command `zadd`, which writes the index of calls, is no round trip, because the webhook does not
      // wait for its answer.
      t.same(
        (await commandsOf('/say')).filter((name) => name !== 'hgetall'),
        ['evalsha', 'zadd']
      )
      t.same(
        (await commandsOf('/in')).filter((name) => name !== 'hgetall'),
        ['evalsha', 'zadd', 'evalsha']
      )
    }
  )

  t.test('a hook whose listen has ended takes one round trip to Redis, and sends no message', async (t) => {
    const asked = await askForListen(other.app, '/in', holder.base)
    const over = once(holder.app.jambonz.calls.events, 'listenEnded')
    const socket = await asked.open()
    socket.send(asked.metadata())
    socket.close(1000)
    await over
    const sent = await watchCommands(t, server)
    await asked.hook({ dial_call_duration: 0 })
    await other.app.jambonz.calls.list()
    // Matches a command that is left out below: after a listen has ended, the heartbeat of its instance
    // removes it from the set of held listens, at any time.
    const isOfHeartbeat = ([name, key = '']: string[]) => name === 'srem' && key.includes('held:')
    t.same(
      sent
        .filter(([name, ...args]) => name === 'publish' || args.some((arg) => arg.includes(asked.callSid)))
        .filter((command) => !isOfHeartbeat(command))
        .map(([name = '']) => name)
        .filter((name) => name !== 'hgetall'),
      ['evalsha']
    )
  })

  t.test('if a hook arrives while Redis is away, its listen ends when Redis is back', async (t) => {
    const instances = [other, holder]
    const asked = [
      await askForListen(other.app, '/in', other.base),
      await askForListen(other.app, '/in', other.base)
    ]
    const ended: Listen[] = []
    for (const { app } of instances) {
      app.jambonz.calls.events.on('listenEnded', (listen) => ended.push(listen))
    }
    await server.kill()
    // `other` knows both listens, and gets the hook of one listen. `holder` knows neither, and gets the hook
    // of the other.
    const answers = await Promise.all(
      instances.map(({ app }, i) => asked[i]?.hook({ dial_call_duration: 0 }, app))
    )
    for (const answer of answers) {
      const [{ data }] = answer as [{ data: { listen: Listen } }]
      t.equal(
        data.listen.state,
        'expected',
        'the listen stays expected, because another instance might hold its socket'
      )
    }
    await server.start()
    await until(() => ended.length >= asked.length, 'the ends')
    t.same(ended.map(({ id }) => id).sort(), asked.map(({ id }) => id).sort())
    for (const { callSid } of asked) {
      t.match(await holder.app.jambonz.calls.get(callSid), {
        listens: [{ state: 'ended', endReason: 'notConnected' }]
      })
    }
  })
})
