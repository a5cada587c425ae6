import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { memoryStore, type CallStore, type Listen } from '../../lib/index.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { keepingLogger } from '../helpers/log.js'
import { callWebhook } from '../helpers/payloads.js'
import { basic, openSocket } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

// These tests follow the documentation of jambonz 11. They have not been compared with a running jambonz 11.

// These tests spend most of their time waiting, so they run side by side.
t.jobs = 4

for (const verb of ['room', 'conference'] as const) {
  for (const transport of ['http', 'websocket'] as const) {
    t.test(
      `over ${transport}, each member of a ${verb} has a listen and a recording of its own`,
      async (t) => {
        const { logger, said } = keepingLogger()
        const app = await build(t, {
          platform: '11',
          recording: { directory: folder() },
          auth: { username: 'jambonz', password: 'of the sockets' },
          fastify: { loggerInstance: logger }
        })
        const ended: Listen[] = []
        const frames: unknown[] = []
        app.jambonz.calls.events
          .on('listenEnded', (listen) => ended.push(listen))
          .on('stream', ({ metadata }) => frames.push(metadata))
        app.jambonz.webhook('/call', async () => [
          { verb, name: 'blue', stream: { url: '/audio', metadata: { tenant: 'acme' }, actionHook: '/done' } }
        ])
        const hooked: Listen[] = []
        app.jambonz.actionHook('/done', async ({ listen }) => {
          hooked.push(listen)
        })
        const story = await simulateCall({ app, hook: '/call', transport, platform: '11', members: 2 })
        t.strictSame(story.errors, [])
        t.equal(new Set(story.listens.map(({ url }) => url)).size, 1, 'all members have the same signed url')
        t.equal(story.listens.length, 3)
        await until(() => ended.length === 3, 'the ends')
        const { listens } = (await app.jambonz.calls.get(story.callSid))!
        t.equal(new Set(listens.map(({ id }) => id)).size, 3)
        t.strictSame(
          new Set(listens.map(({ legCallSid, callSid }) => legCallSid ?? callSid)),
          new Set(story.listens.map(({ callSid }) => callSid)),
          'each metadata frame names the member whose audio follows'
        )
        for (const { nested, metadata, recording, audio, state } of listens) {
          t.match({ nested, metadata, state }, { nested: verb, metadata: { tenant: 'acme' }, state: 'ended' })
          t.ok((await readFile(recording!.location)).length > audio.bytes)
        }
        t.strictSame(
          listens.map(({ audio }) => audio.bytes).sort(),
          story.listens.map(({ sent }) => sent.bytes).sort()
        )
        t.match(
          frames,
          [1, 2, 3].map(() => ({ room: 'blue', memberId: String, tenant: 'acme' }))
        )
        t.equal(said('a further socket came for the listen of a room').length, 2)
        t.match(hooked, [{ nested: verb }])
      }
    )
  }
}

t.test(
  "if a member's connection breaks before the socket opens, the listen ends, except for the first member",
  async (t) => {
    const store = memoryStore()
    const app = await build(t, { platform: '11', store })
    const ended: Listen[] = []
    app.jambonz.calls.events.on('listenEnded', (listen) => ended.push(listen))
    app.jambonz.webhook('/call', async () => [{ verb: 'room', name: 'blue', stream: { url: '/audio' } }])
    const address = await listening(app)
    const payload = callWebhook()
    const [verb] = (await app.inject({ method: 'POST', url: '/call', payload })).json<
      [{ stream: { url: string } }]
    >()
    const url = address + verb.stream.url
    const callSid = String(payload.call_sid)
    const listens = async () => (await store.get(callSid))?.listens ?? []

    await breakUpgrade(t, app, store, url)
    await until(async () => (await listens())[0]?.instance === undefined, 'the release')
    t.match(await listens(), [{ state: 'expected' }])

    const join = async () => (await openSocket(url)).send(JSON.stringify({ callSid, sampleRate: 8000 }))
    await join()
    await until(async () => (await listens())[0]?.state === 'streaming', 'the first member')
    await breakUpgrade(t, app, store, url)
    await until(() => ended.length === 1, 'the end of the listen whose socket broke')
    const [first, broken] = await listens()
    t.equal(first?.state, 'streaming')
    t.match(broken, { id: ended[0]!.id, state: 'ended', endReason: 'notConnected', nested: 'room' })
    await join()
    await until(async () => (await listens())[2]?.state === 'streaming', 'the next member')
  }
)

/** Opens a socket, whose connection breaks while the plugin claims the listen in the store. */
async function breakUpgrade(t: Test, app: FastifyInstance, store: CallStore, url: string): Promise<void> {
  const { write } = store
  let arrived = 0
  let go: () => void = () => {}
  const gate = new Promise<void>((resolve) => {
    go = resolve
  })
  store.write = async (...args) => {
    arrived++
    await gate
    return await write.apply(store, args)
  }
  const upgraded = once(app.server, 'upgrade')
  const socket = new WebSocket(url.replace('http', 'ws'), 'audio.jambonz.org')
  socket.on('error', () => {})
  const [{ socket: connection }] = (await upgraded) as [IncomingMessage]
  await until(() => arrived > 0, 'the claim')
  const closed = once(connection, 'close')
  connection.destroy()
  await closed
  store.write = write
  go()
  t.equal(arrived, 1)
}

t.test('on jambonz 11 too, the path of a listen outside of rooms opens only one socket', async (t) => {
  const app = await build(t, { platform: '11' })
  app.jambonz.webhook('/call', async () => [{ verb: 'listen' }])
  const asked = await askForListen(app, '/call')
  await asked.open()
  await t.rejects(asked.open(), /409/)
})

t.test(
  'if a listen was started over the REST API, without a callSid, its recording has a made-up callSid',
  async (t) => {
    const { logger, said } = keepingLogger()
    const app = await build(t, {
      platform: '11',
      strict: false,
      auth: { username: 'jambonz', password: 'of the sockets' },
      recording: { directory: folder() },
      fastify: { loggerInstance: logger }
    })
    const ended: Listen[] = []
    app.jambonz.calls.events.on('listenEnded', (listen) => ended.push(listen))
    const streams: unknown[] = []
    app.jambonz.audio('/outside', async ({ metadata }) => {
      streams.push(metadata)
    })
    app.jambonz.webhook('/call', async () => [
      { verb: 'answer' },
      { verb: 'pause', length: 2 },
      { verb: 'hangup' }
    ])
    const base = await listening(app)
    const story = await simulateCall({
      url: `${base}/call`,
      platform: '11',
      outsideListen: {
        url: `${base.replace('http', 'ws')}/outside`,
        metadata: { asked: 'by a supervisor' },
        wsAuth: { username: 'jambonz', password: 'of the sockets' }
      }
    })
    t.match(story.listens, [{ role: 'outside', refused: undefined, metadata: { asked: 'by a supervisor' } }])
    await until(() => ended.length === 1, 'the end')
    const [listen] = ended as [Listen]
    t.match(listen, { callSid: /^unnamed-/, audio: { bytes: story.listens[0]!.sent.bytes } })
    t.ok(Number(listen.recording?.durationMs) > 1_000)
    t.match(streams, [{ asked: 'by a supervisor' }])
    t.equal(said('the first frame has no callSid').length, 1)

    const named = await openSocket(`${base}/outside`, { headers: basic('jambonz', 'of the sockets') })
    named.send(JSON.stringify({ callSid: story.callSid, asked: 'for this call' }))
    named.send(ramp(100))
    named.close(1000)
    await until(() => ended.length === 2, 'the end')
    t.equal(ended[1]!.callSid, story.callSid, 'a listen whose first frame has a callSid belongs to this call')
  }
)
