import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { CallStore, Listen } from '../../lib/index.js'
import { redisStore } from '../../lib/store/redis.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { callWebhook } from '../helpers/payloads.js'
import { freePort, movableAddress, noRedis, startRedis, watchCommands } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const CALLS = 40
/**
 * ms that a hook may take (median). A hook that waited for the next batch of audio would take some 400 ms, at
 * most 800.
 */
const SOON = 150
/** maximum number of webhooks that take as many round trips to Redis as a hook */
const TRIPS = 3

async function instance(
  t: Test,
  { port }: { port: number },
  change: (store: CallStore) => CallStore = (store) => store
): Promise<{ app: FastifyInstance; base: string }> {
  const app = await build(t, {
    secret: 'the same on both instances',
    recording: { directory: folder() },
    store: change(redisStore(new Redis(port, { lazyConnect: true })))
  })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
  app.jambonz.webhook('/say', async () => [{ verb: 'say', text: 'Hello.' }])
  app.jambonz.actionHook('/done', async ({ listen }) => [{ verb: 'tag', data: { listen } }])
  app.jambonz.statusHook('/status')
  return { app, base: await listening(app) }
}

t.test('hooks and webhooks on two instances with a shared Redis', { skip: noRedis() }, async (t) => {
  const server = await startRedis(t)
  const [holder, other] = [await instance(t, server), await instance(t, server)]

  t.test('when a hook arrives, the instance that has the socket reads its last audio at once', async (t) => {
    const took: number[] = []
    const webhooks: number[] = []
    for (let i = 0; i < CALLS; i++) {
      const begun = performance.now()
      const asked = await askForListen(other.app, '/in', holder.base)
      webhooks.push(performance.now() - begun)
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
    for (const times of [took, webhooks]) times.sort((a, b) => a - b)
    const [p50, p99] = [took[CALLS / 2] ?? NaN, took.at(-1) ?? NaN]
    // On a busy machine each round trip to Redis takes long.
    const soon = SOON + TRIPS * (webhooks[CALLS / 2] ?? NaN)
    t.comment(`p50 ${p50.toFixed(1)} ms, maximum ${p99.toFixed(1)} ms`)
    t.ok(p50 < soon, `p50 ${p50} ms, limit ${soon} ms`)
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

/** Makes the wait for a socket after the end of its call short, so that a test need not wait for 15 s. */
function hasty(store: CallStore): CallStore {
  const waitFor = store.waitFor.bind(store)
  store.waitFor = (callSid, listenId, reached, ms) =>
    waitFor(callSid, listenId, reached, ms === 15_000 ? 50 : ms)
  return store
}

t.test(
  'a listen ends with its call also if the final status reaches another instance while Redis is away',
  { skip: noRedis() },
  async (t) => {
    const ends = (app: FastifyInstance, callSid: string) =>
      app.inject({
        method: 'POST',
        url: '/status',
        payload: callWebhook({ call_sid: callSid, call_status: 'completed' })
      })

    t.test('after the answer', async (t) => {
      const server = await startRedis(t)
      const [a, b] = [await instance(t, server, hasty), await instance(t, server, hasty)]
      const asked = await askForListen(a.app, '/in', a.base)
      server.pause()
      await ends(b.app, asked.callSid)
      t.equal(b.app.jambonz.calls.health().available, false)
      server.resume()
      await until(
        async () => (await a.app.jambonz.calls.get(asked.callSid))?.listens[0]?.state === 'ended',
        'the end'
      )
      t.match(await a.app.jambonz.calls.get(asked.callSid), {
        endedAt: String,
        listens: [{ id: asked.id, endReason: 'notConnected' }]
      })
    })

    for (const first of ['the one that answered', 'the one that got the status'] as const) {
      t.test(`before the answer is written, if Redis is back for ${first} first`, async (t) => {
        const server = await startRedis(t)
        const addresses = [
          await movableAddress(t, server.port),
          await movableAddress(t, server.port)
        ] as const
        const [a, b] = [await instance(t, addresses[0], hasty), await instance(t, addresses[1], hasty)]
        for (const address of addresses) address.target = await freePort()
        await server.kill()
        const asked = await askForListen(a.app, '/in', a.base)
        await ends(b.app, asked.callSid)
        await server.start()
        const both = [
          { app: a.app, address: addresses[0] },
          { app: b.app, address: addresses[1] }
        ]
        if (first === 'the one that got the status') both.reverse()
        for (const { app, address } of both) {
          address.target = server.port
          await until(() => app.jambonz.calls.health().available, 'the return of Redis')
        }
        await until(
          async () => (await b.app.jambonz.calls.get(asked.callSid))?.listens[0]?.state === 'ended',
          'the end'
        )
        t.match(await b.app.jambonz.calls.get(asked.callSid), {
          endedAt: String,
          listens: [{ id: asked.id, endReason: 'notConnected' }]
        })
      })
    }
  }
)
