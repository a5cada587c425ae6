import { readFile } from 'node:fs/promises'
import t from 'tap'
import type { Listen } from '../../lib/index.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { keepingLogger } from '../helpers/log.js'
import { basic, openSocket } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

// What jambonz 11 does by its documentation: nobody here has run it.

for (const verb of ['room', 'conference'] as const) {
  for (const transport of ['http', 'websocket'] as const) {
    t.test(
      `over ${transport} each member of a ${verb} has a listen of its own, and is recorded`,
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
        t.equal(new Set(story.listens.map(({ url }) => url)).size, 1, 'one signed url')
        t.equal(story.listens.length, 3)
        await until(() => ended.length === 3, 'the ends')
        const { listens } = (await app.jambonz.calls.get(story.callSid))!
        t.equal(new Set(listens.map(({ id }) => id)).size, 3)
        t.strictSame(
          new Set(listens.map(({ legCallSid, callSid }) => legCallSid ?? callSid)),
          new Set(story.listens.map(({ callSid }) => callSid)),
          'each says whose audio it is'
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

t.test('a path of any other listen is good for one socket, on 11 too', async (t) => {
  const app = await build(t, { platform: '11' })
  app.jambonz.webhook('/call', async () => [{ verb: 'listen' }])
  const asked = await askForListen(app, '/call')
  await asked.open()
  await t.rejects(asked.open(), /409/)
})

t.test(
  'a listen that was started from outside names no call: it is recorded by a name of ours',
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
    t.equal(said('the first frame names no call').length, 1)

    const named = await openSocket(`${base}/outside`, { headers: basic('jambonz', 'of the sockets') })
    named.send(JSON.stringify({ callSid: story.callSid, asked: 'for this call' }))
    named.send(ramp(100))
    named.close(1000)
    await until(() => ended.length === 2, 'the end')
    t.equal(ended[1]!.callSid, story.callSid, 'one that names its call is of that call')
  }
)
