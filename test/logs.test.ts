import { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { build, listening } from './helpers/build.js'
import { askForListen, ramp } from './helpers/listen.js'
import { keepingLogger } from './helpers/log.js'
import { callWebhook } from './helpers/payloads.js'
import { basic, openSocket, statusOf } from './helpers/socket.js'
import { until } from './helpers/until.js'

const auth = { username: 'jambonz', password: 'secret' }
const headers = basic(auth.username, auth.password)

/**
 * Starts an application, and returns functions that call it. `naming()` checks that every log line since its
 * last call contains the ids of the call.
 */
async function logging(t: Test) {
  const { logger, lines, said } = keepingLogger()
  const sink = () =>
    new Writable({
      write(_chunk, _encoding, done) {
        done(new Error('the shelf is full'))
      }
    })
  const app = await build(t, {
    auth,
    strict: false,
    recording: { sink, flushInterval: 50 },
    fastify: { loggerInstance: logger }
  })
  app.jambonz.audio('/throws', { record: false }, async () => {
    throw new Error('no bot')
  })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
  app.jambonz.webhook('/in/throws', async () => [
    { verb: 'listen', url: '/throws', actionHook: '/done/throws' }
  ])
  app.jambonz.webhook('/throws/at/once', async () => {
    throw new Error('mine')
  })
  app.jambonz.actionHook('/done', async () => [])
  app.jambonz.actionHook('/done/throws', async () => {
    throw new Error('mine')
  })
  app.jambonz.statusHook('/status')
  app.jambonz.calls.events.on('listenEnded', () => {
    throw new Error('theirs')
  })
  app.jambonz.calls.events.on('call', async ({ callSid }) => {
    if (callSid === '/status') throw new Error('theirs, later')
  })
  const base = await listening(app)
  lines.length = 0

  /**
   * Waits until each of `messages` was logged. Then checks that every line since the last check contains
   * `ids`.
   */
  async function naming(
    t: Test,
    ids: { callSid: string; listenId?: unknown },
    ...messages: string[]
  ): Promise<void> {
    for (const message of messages) {
      await until(
        () => said(message).length > 0,
        `"${message}" among ${lines.map(({ msg }) => msg).join(', ')}`
      )
    }
    for (const line of lines.splice(0)) {
      // The line 'incoming request' can't contain a callSid, because Fastify logs it before it reads the
      // body.
      if (line.msg !== 'incoming request') t.match(line, ids, line.msg)
    }
  }
  /** Asks a webhook for a listen, and deletes the webhook's log lines. */
  async function ask(path: string) {
    const asked = await askForListen(app, path, base)
    lines.length = 0
    return { ...asked, ids: { callSid: asked.callSid, listenId: asked.id } }
  }
  const post = (url: string, payload: Record<string, unknown>) => app.inject({ method: 'POST', url, payload })
  return { base, naming, ask, post, lines }
}

t.test('every log line about a call has its callSid, and the listenId if there is a listen', async (t) => {
  const { base, naming, ask, post } = await logging(t)

  t.test('log lines of a webhook name its call, even if its handler throws', async (t) => {
    for (const path of ['/in', '/throws/at/once', '/status']) {
      await post(path, callWebhook({ call_sid: path }))
      const rejected = path === '/status' ? ['a listener of jambonz.calls.events threw'] : []
      await naming(t, { callSid: path }, 'request completed', ...rejected)
    }
  })

  t.test('log lines of a socket and its recording name the listen, from upgrade to end', async (t) => {
    const { ids, open, metadata } = await ask('/in')
    const socket = await open({ headers })
    socket.send(metadata())
    socket.send(ramp(200))
    await naming(t, ids, 'listen streams', 'recording failed')
    socket.send('{')
    socket.close(1000)
    await naming(
      t,
      ids,
      'text from jambonz is ignored',
      'listen ended',
      'a listener of jambonz.calls.events threw'
    )
  })

  t.test('log lines of an audio handler that throws name the listen', async (t) => {
    const { ids, open, metadata } = await ask('/in/throws')
    const socket = await open({ headers })
    socket.send(metadata())
    await naming(
      t,
      ids,
      'the audio handler threw',
      'listen ended',
      'a listener of jambonz.calls.events threw'
    )
  })

  t.test('log lines of a refused socket name the listen', async (t) => {
    const { ids, url } = await ask('/in')
    t.equal(await statusOf(url), 401)
    await naming(t, ids, 'request completed')
    t.equal(await statusOf(url, { headers, protocols: ['another'] }), 400)
    await naming(t, ids, 'request completed')
  })

  t.test('log lines of an actionHook name the listen, even if its handler throws', async (t) => {
    for (const path of ['/in', '/in/throws']) {
      const { ids, hook } = await ask(path)
      await hook()
      await naming(t, ids, 'listen ended before its socket came', 'request completed')
    }
    await post('/done', callWebhook({ call_sid: 'a call without listens' }))
    await naming(t, { callSid: 'a call without listens' }, 'request completed')
  })

  t.test('log lines of a socket have the callSid of its first frame if the url has none', async (t) => {
    const socket = await openSocket(`${base}/audio`, { headers })
    socket.send(JSON.stringify({ callSid: 'elsewhere', sampleRate: 8000, mixType: 'mono' }))
    socket.send(ramp(200))
    await naming(t, { callSid: 'elsewhere', listenId: String }, 'listen streams', 'recording failed')
    socket.send('{')
    socket.close(1000)
    await naming(
      t,
      { callSid: 'elsewhere', listenId: String },
      'text from jambonz is ignored',
      'listen ended'
    )
  })
})

t.test('a long call logs no more lines than a short one', async (t) => {
  const { lines, naming, ask } = await logging(t)
  const linesOf = async (frames: number): Promise<string[]> => {
    const { ids, open, metadata } = await ask('/in')
    const socket = await open({ headers })
    socket.send(metadata())
    for (let frame = 0; frame < frames; frame++) socket.send(ramp(20))
    socket.close(1000)
    await until(() => lines.some(({ msg }) => msg.startsWith('a listener of')), 'the end')
    const messages = lines.map(({ msg }) => msg).sort()
    await naming(t, ids)
    return messages
  }
  t.same(await linesOf(1_000), await linesOf(10))
})
