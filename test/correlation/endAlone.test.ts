import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { AudioStream, Listen } from '../../lib/index.js'
import { simulateCall, type SimulatedCall } from '../../lib/simulator/index.js'
import { redisStore } from '../../lib/store/redis.js'
import { build, folder, listening } from '../helpers/build.js'
import { keepingLogger } from '../helpers/log.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

type Transport = 'websocket' | 'api' | 'http'

interface Instance {
  app: FastifyInstance
  base: string
  ended: Listen[]
  streams: AudioStream[]
  hooks: unknown[]
  said: ReturnType<typeof keepingLogger>['said']
}

/** A way in which the plugin ends the foreground listen, with the properties of its verb and its handler. */
interface Way {
  endReason: Listen['endReason']
  verb?: object
  handler?: (stream: AudioStream) => void
  /** key that the caller presses when both listens stream */
  key?: string
}

const WAYS: Record<string, Way> = {
  'timeout': { endReason: 'timeout', verb: { timeout: 1 } },
  'one of several keys': { endReason: 'finishOnKey', verb: { finishOnKey: '*#' }, key: '#' },
  'disconnect()': {
    endReason: 'disconnected',
    handler: (stream) => stream.on('dtmf', () => stream.disconnect()),
    key: '5'
  },
  'a stream that is destroyed with an error': {
    endReason: 'error',
    handler: (stream) => {
      stream.on('error', () => {})
      stream.on('dtmf', () => stream.destroy(new Error('the agent broke')))
    },
    key: '5'
  },
  'a failing handler': {
    endReason: 'error',
    handler: async (stream) => {
      await once(stream, 'dtmf')
      throw new Error('the agent broke')
    },
    key: '5'
  }
}

interface Options {
  way: Way
  api?: { baseUrl: string; accountSid: string; token: string }
  redisUrl?: string
  answer?: object[]
  /** the address at which jambonz opens the audio sockets; default: that of this instance */
  publicUrl?: string
}

async function instance(t: Test, { way, api, redisUrl, answer = [], publicUrl }: Options): Promise<Instance> {
  const { logger, said } = keepingLogger()
  const app = await build(t, {
    secret: 'the same on both instances',
    recording: { directory: folder() },
    fastify: { loggerInstance: logger },
    ...(api && { api }),
    ...(publicUrl && { publicUrl }),
    ...(redisUrl && { store: redisStore(new Redis(redisUrl, { lazyConnect: true })) })
  })
  const ended: Listen[] = []
  const streams: AudioStream[] = []
  const hooks: unknown[] = []
  app.jambonz.calls.events.on('listenEnded', (listen) => ended.push(listen))
  app.jambonz.calls.events.on('stream', (stream) => streams.push(stream))
  app.jambonz.audio('/agent', { record: false }, async (stream) => await way.handler?.(stream))
  app.jambonz.webhook('/in', async () => [
    { verb: 'config', listen: { enable: true } },
    { verb: 'listen', url: '/agent', passDtmf: true, actionHook: '/done', ...way.verb },
    // The pause is long, so that the background listen outlasts the other listen even if a busy machine
    // delays closes.
    { verb: 'pause', length: 4 },
    { verb: 'hangup' }
  ])
  app.jambonz.actionHook('/done', async (request) => {
    hooks.push(request.body)
    return answer as []
  })
  return { app, base: await listening(app), ended, streams, hooks, said }
}

/**
 * Starts a REST API of jambonz, which passes updates to the first call in `calls`. `fail`: it answers with
 * 500.
 */
async function restApi(t: Test, fail = false) {
  const asked: unknown[] = []
  const calls: SimulatedCall[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      const change = JSON.parse(body) as Record<string, unknown>
      asked.push(change)
      response.statusCode = fail ? 500 : 202
      response.end()
      if (!fail) calls[0]?.updateCall(change)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return { asked, calls, api: { baseUrl: `http://127.0.0.1:${port}`, accountSid: 'acc', token: 'sesame' } }
}

function simulate(base: string, transport: Transport): SimulatedCall {
  const origin = transport === 'websocket' ? base.replace('http', 'ws') : base
  return simulateCall({ url: `${origin}/in`, speech: null, speed: 4, patienceMs: Infinity, keepAudio: false })
}

/**
 * Adds a listener to each stream of the instance, so that its socket is read every 40 ms and not every 800
 * ms. On a busy machine a close could otherwise be read 1.5 s late, and then no longer count as caused by the
 * end of another listen.
 */
function readSoon({ app }: Instance): void {
  app.jambonz.calls.events.on('stream', (stream) => stream.on('dtmf', () => {}))
}

/** Presses the key when both listens stream. Resolves when the call and both its listens have ended. */
async function run(call: SimulatedCall, { key }: Way, instances: readonly Instance[]) {
  const streams = () => instances.flatMap((instance) => instance.streams)
  await until(() => streams().length === 2, 'both streams')
  const background = streams().find(({ listen }) => listen.nested === 'config')!
  if (key !== undefined) call.press(key)
  const story = await call
  const ended = () => instances.flatMap((instance) => instance.ended)
  await until(() => ended().length === 2, 'both ends')
  return { story, background, ended: ended(), hooks: instances.flatMap((instance) => instance.hooks) }
}

// These tests spend most of their time waiting, so they run side by side.
t.jobs = 4

for (const [name, way] of Object.entries(WAYS)) {
  for (const transport of ['websocket', 'api'] as const) {
    t.test(`${name} ends only the foreground listen, over ${transport}`, async (t) => {
      const rest = transport === 'api' ? await restApi(t) : undefined
      const one = await instance(t, { way, ...(rest && { api: rest.api }) })
      const call = simulate(one.base, transport)
      rest?.calls.push(call)
      const { story, ended, hooks } = await run(call, way, [one])
      t.match(ended, [
        { path: '/agent', endReason: way.endReason, ...(way.endReason === 'finishOnKey' && { digits: '#' }) },
        { nested: 'config', endReason: 'closed' }
      ])
      t.match(hooks, [{ dial_call_duration: Number }], 'the actionHook was called once')
      t.same(
        story.verbs.map(({ verb }) => verb),
        ['config', 'listen', 'pause', 'hangup'],
        'jambonz continues with the verbs after the listen'
      )
      const [background, agent] = story.listens
      t.ok(background!.closedAtMs! - agent!.closedAtMs! > 800, 'the background listen continued')
      const { recording } = ended[1]!
      const sentMs = (background!.sent.bytes / 2 / background!.sampleRate) * 1_000
      t.ok(recording!.durationMs >= sentMs, `all ${sentMs} ms of the background listen are in one recording`)
      t.ok(sentMs > 1_000, 'jambonz sent audio during the pause too')
      t.ok(readFileSync(recording!.location).length > 44)
      t.same(one.said('ended another listen of its call'), [])
      t.notOk(story.problems.some(({ code }) => code === 'othersEnded'))
      if (rest) t.match(rest.asked, [{ call_hook: /^\/audio\/end\?listen=/ }])
    })
  }
}

for (const transport of ['websocket', 'api'] as const) {
  t.test(
    `after the plugin ended only the foreground listen, the verbs of its actionHook run, over ${transport}`,
    async (t) => {
      const rest = transport === 'api' ? await restApi(t) : undefined
      const way = WAYS['one of several keys']!
      const answer = [{ verb: 'pause', length: 0.5 }, { verb: 'hangup' }]
      const one = await instance(t, { way, answer, ...(rest && { api: rest.api }) })
      const call = simulate(one.base, transport)
      rest?.calls.push(call)
      const { story, ended } = await run(call, way, [one])
      t.match(ended, [{ endReason: 'finishOnKey' }, { endReason: 'closed' }])
      t.match(story.verbs.slice(2), [{ verb: 'pause', data: { length: 0.5 } }, { verb: 'hangup' }])
    }
  )
}

t.test(
  'if the plugin cannot send commands to the call, the end of a listen ends the background listen as well',
  async (t) => {
    const way = WAYS['disconnect()']!
    const one = await instance(t, { way })
    readSoon(one)
    const { ended, hooks } = await run(simulate(one.base, 'http'), way, [one])
    t.same(ended.map(({ endReason }) => endReason).sort(), ['disconnected', 'otherEnded'])
    t.equal(hooks.length, 1)
  }
)

t.test('if the REST API fails, the plugin ends the listen by closing its socket', async (t) => {
  const way = WAYS['disconnect()']!
  const rest = await restApi(t, true)
  const one = await instance(t, { way, api: rest.api })
  readSoon(one)
  const call = simulate(one.base, 'api')
  const { ended } = await run(call, way, [one])
  t.same(ended.map(({ endReason }) => endReason).sort(), ['disconnected', 'otherEnded'])
  t.equal(one.said('could not be asked to end one listen').length, 1)
})

t.test('a key of the background listen ends only the background listen, over a websocket', async (t) => {
  const { logger } = keepingLogger()
  const app = await build(t, { fastify: { loggerInstance: logger } })
  const ended: Listen[] = []
  let streaming = 0
  app.jambonz.calls.events.on('listenEnded', (listen) => ended.push(listen))
  app.jambonz.calls.events.on('stream', () => streaming++)
  app.jambonz.webhook('/in', async () => [
    { verb: 'config', listen: { enable: true, finishOnKey: '9' } },
    { verb: 'listen' }
  ])
  const call = simulate(await listening(app), 'websocket')
  await until(() => streaming === 2, 'both streams')
  call.press('9')
  await until(() => ended.length === 1, 'the end of the background listen')
  t.match(ended, [{ nested: 'config', endReason: 'finishOnKey', digits: '9' }])
  const { listens } = call
  await call.waitFor('listen:close')
  t.equal(
    listens.filter(({ closedAtMs }) => closedAtMs === undefined).length,
    1,
    'the foreground listen continues'
  )
  call.hangUp()
  await call
  await until(() => ended.length === 2, 'both ends')
  t.match(ended[1], { endReason: 'closed' })
})

t.test('after the end of a background listen, jambonz is asked to end the foreground listen', async (t) => {
  // jambonz before 0.9.7 may not notice then that the socket of the foreground listen closes.
  const app = await build(t)
  const ended: Listen[] = []
  const streams: AudioStream[] = []
  app.jambonz.calls.events.on('listenEnded', (listen) => ended.push(listen))
  app.jambonz.calls.events.on('stream', (stream) => streams.push(stream))
  app.jambonz.webhook('/in', async () => [
    { verb: 'config', listen: { enable: true, finishOnKey: '9' } },
    { verb: 'listen' },
    { verb: 'hangup' }
  ])
  const call = simulate(await listening(app), 'websocket')
  await until(() => streams.length === 2, 'both streams')
  call.press('9')
  await until(() => ended.length === 1, 'the end of the background listen')
  await streams.find(({ listen }) => listen.nested === undefined)!.disconnect()
  const { commands, listens } = await call
  t.same(
    commands.map(({ command }) => command),
    ['config', 'redirect']
  )
  t.same(listens[1]!.received, [], 'no disconnect over the socket')
  t.match(ended[1], { endReason: 'disconnected' })
})

t.test('the plugin ends the only listen of a call over its socket, without a command', async (t) => {
  const app = await build(t)
  app.jambonz.audio('/agent', (stream) => {
    stream.on('dtmf', () => stream.disconnect())
  })
  app.jambonz.webhook('/in', async () => [
    { verb: 'listen', url: '/agent', passDtmf: true },
    { verb: 'hangup' }
  ])
  const call = simulate(await listening(app), 'websocket')
  await call.waitFor('listen:open')
  call.press('1')
  const { commands, listens } = await call
  t.same(commands, [])
  t.equal(listens.length, 1)
})

for (const transport of ['websocket', 'api'] as const) {
  t.test(
    `the plugin ends only the foreground listen if another instance has the call, over ${transport}`,
    { skip: noRedis() },
    async (t) => {
      const { url: redisUrl } = await startRedis(t)
      const rest = transport === 'api' ? await restApi(t) : undefined
      const way = WAYS['disconnect()']!
      const options = { way, redisUrl, ...(rest && { api: rest.api }) }
      const b = await instance(t, options)
      // jambonz sends its requests to instance a, and opens its audio sockets on instance b.
      const a = await instance(t, { ...options, publicUrl: b.base })
      const call = simulate(a.base, transport)
      rest?.calls.push(call)
      const { story, ended, hooks } = await run(call, way, [a, b])
      t.match(ended, [
        { path: '/agent', endReason: 'disconnected' },
        { nested: 'config', endReason: 'closed' }
      ])
      t.equal(hooks.length, 1)
      t.equal(b.streams.length, 2, 'the audio reached the other instance')
      t.same(a.said('ended another listen of its call'), [])
      t.same(b.said('ended another listen of its call'), [])
      t.ok(story.listens[0]!.closedAtMs! - story.listens[1]!.closedAtMs! > 800)
    }
  )
}

for (const transport of ['websocket', 'api'] as const) {
  for (const verbs of [undefined, null, []]) {
    t.test(
      `calls.redirect(callSid, ${JSON.stringify(verbs)}) drops all verbs, over ${transport}`,
      async (t) => {
        const rest = transport === 'api' ? await restApi(t) : undefined
        const one = await instance(t, { way: { endReason: 'closed' }, ...(rest && { api: rest.api }) })
        const { calls } = one.app.jambonz
        const call = simulate(one.base, transport)
        rest?.calls.push(call)
        await until(() => one.streams.length === 2, 'both streams')
        await calls.redirect(call.callSid, verbs)
        await until(() => one.ended.length > 0, 'the end of the listen')
        // Without verbs, a call over HTTP ends, but a call over a websocket waits for more verbs.
        if (transport === 'websocket') await calls.redirect(call.callSid, [{ verb: 'hangup' }])
        const { verbs: run, errors, hangupBy } = await call
        t.strictSame(errors, [])
        t.strictSame(
          run.map(({ verb }) => verb),
          ['config', 'listen', ...(transport === 'websocket' ? ['hangup'] : [])]
        )
        t.equal(hangupBy, 'jambonz')
        t.equal(one.hooks.length, 1, 'the actionHook of the listen was called')
        await until(() => one.ended.length === 2, 'both ends')
        t.strictSame(
          one.ended.map(({ endReason }) => endReason),
          ['closed', 'closed']
        )
      }
    )
  }
}
