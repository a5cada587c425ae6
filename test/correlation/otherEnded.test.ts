import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { WebSocket } from 'ws'
import type { AudioStream, Listen } from '../../lib/index.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { redisStore } from '../../lib/store/redis.js'
import { build, listening } from '../helpers/build.js'
import { ramp } from '../helpers/listen.js'
import { keepingLogger } from '../helpers/log.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { openSocket } from '../helpers/socket.js'
import { standStill } from '../helpers/steadyClock.js'
import { until } from '../helpers/until.js'

interface Instance {
  app: FastifyInstance
  base: string
  ended: Listen[]
  said: ReturnType<typeof keepingLogger>['said']
}

async function instance(t: Test, redisUrl?: string): Promise<Instance> {
  const { logger, said } = keepingLogger()
  const app = await build(t, {
    secret: 'the same on both instances',
    fastify: { loggerInstance: logger },
    ...(redisUrl && { store: redisStore(new Redis(redisUrl, { lazyConnect: true })) })
  })
  const ended: Listen[] = []
  app.jambonz.calls.events.on('listenEnded', (listen) => ended.push(listen))
  app.jambonz.audio('/agent', { record: false }, (stream) => {
    stream.on('dtmf', () => stream.disconnect())
  })
  app.jambonz.webhook('/in', async () => [
    { verb: 'config', listen: { enable: true } },
    { verb: 'listen', url: '/agent', passDtmf: true }
  ])
  return { app, base: await listening(app), ended, said }
}

/**
 * Opens the sockets of both listens of a call: the background listen on one instance, the listen for /agent
 * on the other.
 */
async function twoListens(callSid: string, background: Instance, agent: Instance) {
  const [config, listen] = (
    await agent.app.inject({ method: 'POST', url: '/in', payload: { call_sid: callSid } })
  ).json<[{ listen: { url: string } }, { url: string }]>()
  const open = async ({ app, base }: Instance, url: string): Promise<WebSocket> => {
    const socket = await openSocket(base + url)
    const streams = once(app.jambonz.calls.events, 'stream')
    socket.send(JSON.stringify({ callSid, sampleRate: 8000, mixType: 'mono' }))
    socket.send(ramp(200))
    await streams
    return socket
  }
  const sockets = [await open(background, config.listen.url), await open(agent, listen.url)] as const
  return sockets
}

async function endsOf(callSid: string, instances: Instance[]): Promise<Array<string | undefined>> {
  const ended = () => instances.flatMap(({ ended }) => ended).filter((listen) => listen.callSid === callSid)
  await until(() => ended().length === 2, 'both ends')
  return ended()
    .sort((a, b) => a.path.localeCompare(b.path))
    .map(({ endReason }) => endReason)
}

t.test(
  'a listen that jambonz ends when the plugin ends another one has endReason otherEnded, and is logged',
  async (t) => {
    const one = await instance(t)
    const sockets = await twoListens('c1', one, one)
    sockets[1].on('message', () => {
      for (const socket of sockets) socket.close(1000)
    })
    sockets[1].send('{"event":"dtmf","dtmf":"5","duration":"1600"}')
    t.same(await endsOf('c1', [one]), ['disconnected', 'otherEnded'])
    const [agent] = one.ended.filter(({ path }) => path === '/agent')
    t.match(one.said('ended another listen of its call'), [
      { callSid: 'c1', endedBy: agent?.id, endReason: 'disconnected' }
    ])
  }
)

t.test('no listen has the end reason otherEnded if the caller hangs up', async (t) => {
  const one = await instance(t)
  const sockets = await twoListens('c1', one, one)
  for (const socket of sockets) socket.close(1000)
  t.same(await endsOf('c1', [one]), ['closed', 'closed'])
  t.same(one.said('ended another listen of its call'), [])
})

t.test(
  'a listen that began after the plugin ended another has endReason closed if the caller hangs up',
  async (t) => {
    const one = await instance(t)
    const [background, agent] = await twoListens('c1', one, one)
    // Close both sockets in one turn of the event loop, so that a slow machine adds no time between the two
    // closes.
    agent.on('message', () => {
      for (const socket of [agent, background]) socket.close(1000)
    })
    agent.send('{"event":"dtmf","dtmf":"5","duration":"1600"}')
    await until(
      () => one.ended.length === 2,
      'the end that the plugin caused, and the end that jambonz added'
    )
    const next = await twoListens('c1', one, one)
    for (const socket of next) socket.close(1000)
    await until(() => one.ended.length === 4, 'all ends')
    t.strictSame(
      one.ended.map(({ endReason }) => endReason).sort(),
      ['closed', 'closed', 'disconnected', 'otherEnded'],
      'jambonz ended the background listen because of ours, but not the later listens'
    )
  }
)

t.test('a listen has endReason otherEnded also if a busy process reads its close late', async (t) => {
  const one = await instance(t)
  const before = await twoListens('before', one, one)
  before[1].on('message', () => {
    for (const socket of before) socket.close(1000)
    // Both closes wait in the kernel.
    standStill(3_500)
  })
  before[1].send('{"event":"dtmf","dtmf":"5","duration":"1600"}')
  t.same(await endsOf('before', [one]), ['disconnected', 'otherEnded'], 'both closes are read late')

  const between = await twoListens('between', one, one)
  one.app.jambonz.calls.events.once('listenEnded', () => standStill(2_500))
  between[1].on('message', () => {
    for (const socket of between) socket.close(1000)
  })
  between[1].send('{"event":"dtmf","dtmf":"5","duration":"1600"}')
  t.same(await endsOf('between', [one]), ['disconnected', 'otherEnded'], 'one close is read late')
})

t.test('a listen whose audio goes on after the end of another listen has its own end reason', async (t) => {
  const one = await instance(t)
  const [background, agent] = await twoListens('c1', one, one)
  agent.on('message', () => agent.close(1000))
  agent.send('{"event":"dtmf","dtmf":"5","duration":"1600"}')
  await until(() => one.ended.length === 1, 'the end of the first listen')
  const from = performance.now()
  for (let sent = 0; sent < 2_500; sent += 20) {
    background.send(Buffer.alloc(320))
    await until(() => performance.now() - from >= sent, 'the time of the next frame')
  }
  background.close(1000)
  t.same(await endsOf('c1', [one]), ['disconnected', 'closed'])
})

t.test('calls.redirect() ends only the foreground listen, and the plugin closes no socket', async (t) => {
  const one = await instance(t)
  const streams = new Map<string, AudioStream>()
  one.app.jambonz.calls.events.on('stream', (stream) => streams.set(stream.listen.path, stream))
  const call = simulateCall({
    url: `${one.base.replace('http', 'ws')}/in`,
    speech: null,
    speed: 5,
    patienceMs: Infinity
  })
  await until(() => streams.size === 2, 'both streams')
  const backgroundStream = [...streams.values()].find(({ listen }) => listen.nested === 'config')!
  await one.app.jambonz.calls.redirect(call.callSid, [{ verb: 'pause', length: 5 }])
  await until(() => one.ended.length === 1, 'the end of the foreground listen')
  t.match(one.ended, [{ path: '/agent', endReason: 'closed' }])
  await call.waitFor('verb', ({ verb }) => verb === 'pause')
  const { durationMs } = backgroundStream.counts
  await until(
    () => backgroundStream.counts.durationMs >= durationMs + 200,
    'more audio of the background listen'
  )
  call.hangUp()
  const { listens } = await call
  await until(() => one.ended.length === 2, 'the end of the background listen')
  t.match(one.ended[1], { nested: 'config', endReason: 'closed' })
  const [background, agent] = listens
  t.ok(background!.closedAtMs! > agent!.closedAtMs! + 100, 'the background listen continued')
  t.same(one.said('ended another listen of its call'), [])
})

t.test('an instance is told which listen another instance ended', { skip: noRedis() }, async (t) => {
  const { url } = await startRedis(t)
  const [a, b] = [await instance(t, url), await instance(t, url)]
  const [background, agent] = await twoListens('c1', a, b)
  agent.on('message', () => {
    // Waits before closing both sockets, because jambonz also takes some time until it closes the sockets.
    setTimeout(() => {
      for (const socket of [background, agent]) socket.close(1000)
    }, 40)
  })
  agent.send('{"event":"dtmf","dtmf":"5","duration":"1600"}')
  t.same(await endsOf('c1', [a, b]), ['disconnected', 'otherEnded'])
  t.match(a.said('ended another listen of its call'), [{ callSid: 'c1', endReason: 'disconnected' }])
})
