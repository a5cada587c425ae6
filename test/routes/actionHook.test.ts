import { once } from 'node:events'
import http from 'node:http'
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { AudioStream, Listen } from '../../lib/index.js'
import { memoryStore } from '../../lib/store/memory.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { OpenRequests } from '../../lib/application/observeRequests.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { keepingLogger } from '../helpers/log.js'
import { until } from '../helpers/until.js'
import { signature } from '../helpers/payloads.js'

/** Starts an application whose actionHook answers with the Listen that its handler received. */
async function recorder(t: Test) {
  const app = await build(t, { recording: { directory: folder() } })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done', finishOnKey: '#' }])
  app.jambonz.webhook('/get', async () => [{ verb: 'listen', actionHook: { url: '/done', method: 'GET' } }])
  app.jambonz.webhook('/retried', async () => [{ verb: 'listen', actionHook: '/done#rc=3&rp=all' }])
  app.jambonz.actionHook('/done', async ({ call, listen }) => [
    { verb: 'tag', data: { callSid: call.callSid, listen } }
  ])
  return { app, base: await listening(app) }
}

function listenOf(reply: unknown): Listen {
  return (reply as [{ data: { listen: Listen } }])[0].data.listen
}

const COMPLETE = {
  state: 'ended',
  connected: true,
  audio: { durationMs: 200 },
  recording: { durationMs: 200 }
}

t.test(
  'the actionHook handler sees the complete audio, whether the hook or the close of the socket is first',
  async (t) => {
    const { app, base } = await recorder(t)
    const streamed = async () => {
      const asked = await askForListen(app, '/in', base)
      const socket = await asked.open()
      socket.send(asked.metadata())
      socket.send(ramp(200))
      return { asked, socket }
    }

    t.test('the hook arrives before the close', async (t) => {
      const { asked, socket } = await streamed()
      const reply = asked.hook({ dial_call_duration: 1, digits: '#' })
      const asking = new Promise((resolve) => setImmediate(resolve))
      await asking
      socket.close(1000)
      t.match(listenOf(await reply), {
        ...COMPLETE,
        digits: '#',
        reportedDuration: 1,
        endReason: 'finishOnKey'
      })
    })

    t.test('the close arrives before the hook', async (t) => {
      const { asked, socket } = await streamed()
      socket.close(1000)
      const isOver = async () => {
        const { listens = [] } = (await app.jambonz.calls.get(asked.callSid)) ?? {}
        return listens.some(({ state }) => state === 'ended')
      }
      await until(isOver, 'the end of the listen')
      t.match(listenOf(await asked.hook({ dial_call_duration: 1 })), { ...COMPLETE, endReason: 'closed' })
    })

    t.test('hook and close arrive at the same moment', async (t) => {
      const { asked, socket } = await streamed()
      socket.close(1000)
      t.match(listenOf(await asked.hook({ dial_call_duration: 1 })), COMPLETE)
    })

    t.test('hook and close of a hundred calls arrive at once, in any order', async (t) => {
      const calls = await Promise.all(Array.from({ length: 100 }, streamed))
      const replies = await Promise.all(
        calls.map(async ({ asked, socket }, index) => {
          if (index % 2 === 0) socket.close(1000)
          const reply = asked.hook({ dial_call_duration: 0 })
          if (index % 2 === 1) socket.close(1000)
          return { id: asked.id, listen: listenOf(await reply) }
        })
      )
      for (const { id, listen } of replies) {
        if (listen.id !== id || listen.state !== 'ended' || listen.recording?.durationMs !== 200) {
          t.match(listen, { ...COMPLETE, id })
        }
      }
      t.equal(new Set(replies.map(({ listen }) => listen.recording?.location)).size, 100)
    })
  }
)

t.test(
  'without a socket, the hook handler sees connected: false at once, and a late socket is refused',
  async (t) => {
    const { app, base } = await recorder(t)
    const asked = await askForListen(app, '/in', base)
    const before = performance.now()
    t.match(listenOf(await asked.hook()), {
      id: asked.id,
      connected: false,
      state: 'ended',
      endReason: 'notConnected',
      recording: undefined
    })
    t.ok(performance.now() - before < 1000)
    await t.rejects(asked.open(), { message: 'refused with 409' })
  }
)

t.test(
  'a hook does not wait for a socket on which jambonz sends nothing, because the listen ended while it opened',
  async (t) => {
    const { app, base } = await recorder(t)
    const asked = await askForListen(app, '/in', base)
    const closed = once(await asked.open(), 'close')
    const before = performance.now()
    t.match(listenOf(await asked.hook({ dial_call_duration: 0, digits: '#' })), {
      state: 'ended',
      endReason: 'finishOnKey',
      digits: '#',
      audio: { bytes: 0 }
    })
    t.ok(performance.now() - before < 3_000)
    t.equal((await closed)[0], 1000)
  }
)

t.test('a GET hook has no payload, so its url identifies its listen', async (t) => {
  const { app, base } = await recorder(t)
  const payload = { call_sid: 'get-1' }
  const verb = (await app.inject({ method: 'POST', url: '/get', payload })).json()[0]
  t.match(verb.actionHook, { url: /^\/done\?listen=/, method: 'GET' })
  const { openSocket } = await import('../helpers/socket.js')
  const socket = await openSocket(base + verb.url)
  socket.send('{"callSid":"get-1"}')
  socket.send(ramp(200))
  await once(app.jambonz.calls.events, 'stream')
  const reply = app.inject(verb.actionHook.url)
  socket.close(1000)
  t.match((await reply).json(), [{ data: { callSid: 'get-1', listen: COMPLETE } }])
  t.equal((await app.inject('/done?listen=abc')).statusCode, 404)
  t.match(await app.inject('/done'), {
    statusCode: 404,
    body: /"FST_JAMBONZ_HOOK_LISTEN".*this GET request names no listen/
  })
})

t.test('a GET hook without the key in its url runs no handler, even with the id of a listen', async (t) => {
  const { logger, lines } = keepingLogger()
  const app = await build(t, { webhookSecret: 'signed', fastify: { loggerInstance: logger } })
  const ran: string[] = []
  app.jambonz.webhook('/in', async () => [
    { verb: 'listen', actionHook: '/done' },
    { verb: 'listen', actionHook: { url: '/done?of=mine#rc=1', method: 'GET' } }
  ])
  app.jambonz.actionHook('/done', async ({ listen }) => {
    ran.push(listen.id)
    return [{ verb: 'listen' }]
  })
  const payload = JSON.stringify({ call_sid: 'keyed' })
  const verbs = (
    await app.inject({
      method: 'POST',
      url: '/in',
      payload,
      headers: { 'content-type': 'application/json', 'jambonz-signature': signature(payload, 'signed') }
    })
  ).json<[{ id: string; actionHook: string }, { id: string; actionHook: { url: string } }]>()
  const [posted, got] = [verbs[0], verbs[1]]
  const { url } = got.actionHook
  const key = /&key=([\w-]{22})#rc=1$/.exec(url)?.[1] ?? ''
  t.ok(key, url)
  t.notOk(got.id.includes(key))
  const attempts = [
    `/done?listen=${posted.id}`,
    `/done?listen=${got.id}`,
    `/done?listen=${got.id}&key=`,
    `/done?listen=${got.id}&key=${key.slice(1)}`,
    `/done?listen=${posted.id}&key=${key}`,
    `/done?listen=${got.id}&key=${got.id}`,
    `/done?key=${key}`
  ]
  for (const attempt of attempts) t.equal((await app.inject(attempt)).statusCode, 404, attempt)
  t.strictSame(ran, [])
  t.equal((await app.inject(url)).statusCode, 200)
  t.strictSame(ran, [got.id])
  t.ok(lines.some((line) => JSON.stringify(line).includes(`listen=${got.id}&key=…`)))
  t.notOk(JSON.stringify(lines).includes(key), 'no log line contains the key')
  t.notOk(JSON.stringify(await app.jambonz.calls.list()).includes(key), 'the store does not contain the key')
})

t.test('a listen notes whether its actionHook is one of this plugin', async (t) => {
  const store = memoryStore()
  const app = await build(t, { store, publicUrl: 'https://app.example/voice' })
  const hooks: Array<[actionHook: string | { url: string; method?: 'GET' } | undefined, isOurs: boolean]> = [
    [undefined, true],
    ['/done', true],
    ['/voice/done', true],
    [{ url: '/done', method: 'GET' }, true],
    ['https://app.example/voice/done', true],
    ['HTTPS://App.Example/voice/done?a=b#rc=2', true],
    ['wss://app.example/voice/done', true],
    ['https://other.example/voice/done', false],
    [{ url: 'https://other.example/voice/done' }, false],
    ['https://app.example/voice/elsewhere', false],
    ['/elsewhere', false],
    ['/in', false]
  ]
  app.jambonz.webhook('/in', async ({ call: { callSid } }) => {
    const [actionHook] = hooks[Number(callSid)] ?? []
    return [{ verb: 'listen', ...(actionHook && { actionHook }) }]
  })
  app.jambonz.actionHook('/done', async () => {})
  for (const [at, [actionHook, isOurs]] of hooks.entries()) {
    await app.inject({ method: 'POST', url: '/in', payload: { call_sid: String(at) } })
    const [listen] = (await store.get(String(at)))?.listens ?? []
    t.equal(listen?.foreignHook, isOurs ? undefined : true, JSON.stringify(actionHook))
  }
})

t.test('a hook whose url has a retry fragment finds its listen', async (t) => {
  const { app, base } = await recorder(t)
  const asked = await askForListen(app, '/retried', base)
  t.match(asked.hookUrl, /^\/done\?listen=[\w-]+#rc=3&rp=all$/)
  // The hook is sent with http.request(), because jambonz sends the fragment of the url, and fetch() would
  // leave it out.
  const { port } = new URL(base)
  const request = http.request({
    port,
    path: asked.hookUrl,
    method: 'POST',
    headers: { 'content-type': 'application/json' }
  })
  request.end(JSON.stringify({ call_sid: asked.callSid }))
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  const reply = JSON.parse(Buffer.concat(await response.toArray()).toString())
  t.match(listenOf(reply), { id: asked.id, connected: false })
})

t.test(
  'a hook without ?listen= gets the listen of its verb_id, or the latest unfinished listen',
  async (t) => {
    const { app, base } = await recorder(t)
    const payload = { call_sid: 'c9' }
    app.jambonz.calls.events.on('listenEnded', () => {})
    const ask = async (body: object) =>
      (await app.inject({ method: 'POST', url: '/in', payload: body })).json()[0]
    const first = await ask(payload)
    const second = await ask({ ...payload, call_status: 'in-progress' })
    t.ok(base)
    const hook = async (extra: object) =>
      listenOf((await app.inject({ method: 'POST', url: '/done', payload: { ...payload, ...extra } })).json())
    t.equal((await hook({ verb_id: first.id })).id, first.id)
    t.equal((await hook({})).id, second.id)
  }
)

t.test('the handler gets an ended listen also if the store has dropped the listen', async (t) => {
  const { app, base } = await recorder(t)
  const { id } = await askForListen(app, '/in', base)
  // This application has a store of its own, which does not have the listen.
  const { app: other } = await recorder(t)
  const hook = async (extra: object) =>
    listenOf(
      (
        await other.inject({
          method: 'POST',
          url: `/done?listen=${id}`,
          payload: { call_sid: 'dropped', ...extra }
        })
      ).json()
    )
  t.match(await hook({}), { id, state: 'ended', connected: false, endReason: 'notConnected' })
  t.match(await hook({ dial_call_duration: 3, digits: '#' }), {
    id,
    state: 'ended',
    connected: true,
    endReason: 'lost',
    reportedDuration: 3,
    digits: undefined
  })
})

t.test('the handler for a hook of another verb gets the call and no listen', async (t) => {
  const { app } = await recorder(t)
  await app.inject({ method: 'POST', url: '/in', payload: { call_sid: 'c1' } })
  const reply = await app.inject({
    method: 'POST',
    url: '/done',
    payload: { call_sid: 'c1', reason: 'speechDetected' }
  })
  t.same(reply.json(), [{ verb: 'tag', data: { callSid: 'c1' } }])
})

t.test('a private key is stored nowhere, even if the hook reports the key', async (t) => {
  const { app, base } = await recorder(t)
  const asked = await askForListen(app, '/in', base)
  const socket = await asked.open()
  const streams = once(app.jambonz.calls.events, 'stream') as Promise<[AudioStream]>
  socket.send(asked.metadata())
  const [stream] = await streams
  stream.beginPrivacy()
  socket.send('{"event":"dtmf","dtmf":"#","duration":"800"}')
  socket.close(1000)
  await stream.done
  const listen = listenOf(await asked.hook({ dial_call_duration: 1, digits: '#' }))
  t.match(listen, { state: 'ended', endReason: 'finishOnKey', paused: 'silence', reportedDuration: 1 })
  t.notOk('digits' in listen)
  t.notOk('digits' in (listen.recording ?? {}))
})

t.test(
  'a listen without an actionHook gets the built-in one, which stores digits and duration',
  async (t) => {
    const app = await build(t)
    app.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
    const asked = await askForListen(app, '/in')
    const socket = await asked.open()
    socket.send(asked.metadata())
    socket.close(1000)
    t.same(await asked.hook({ dial_call_duration: 3, digits: '#' }), [])
    t.match(await app.jambonz.calls.get(asked.callSid), {
      listens: [{ digits: '#', reportedDuration: 3, state: 'ended' }]
    })
  }
)

/** ms that the handler takes, longer than drain() needs to notice that a hook has arrived */
const TAKES = 250

t.test('drain() waits for the answer of a slow hook handler', async (t) => {
  const app = await build(t)
  let answered = false
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
  app.jambonz.actionHook('/done', async () => {
    await delay(TAKES)
    answered = true
  })
  const call = simulateCall({ app, hook: '/in', speed: 1 })
  await call.waitFor('listen:open')
  await app.jambonz.drain()
  t.equal(answered, true)
  await call
})

t.test(
  'drain() waits for a hook that waits until another instance reports the end of its listen',
  async (t) => {
    const store = memoryStore()
    const app = await build(t, { store })
    const events: string[] = []
    app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
    app.jambonz.actionHook('/done', async ({ listen }) => {
      events.push(`handler: ${listen?.state}`)
    })
    const asked = await askForListen(app, '/in')
    // Another instance holds the socket, and does not report the end of the listen.
    const elsewhere = { id: asked.id, state: 'streaming', connected: true, instance: 'other' } as const
    await store.write(asked.callSid, [{ patch: { listens: [elsewhere] } }])
    const answered = asked.hook({ dial_call_duration: 3 })
    await until(async () => (await store.get(asked.callSid))?.listens[0]?.hookedAt !== undefined, 'the hook')
    await app.jambonz.drain()
    t.same(events, ['handler: streaming'])
    await answered
  }
)

t.test('drain() stops waiting at its timeout', async () => {
  const open = new OpenRequests()
  open.add(new http.ServerResponse(new http.IncomingMessage(new Socket())))
  await open.answered(10)
})
