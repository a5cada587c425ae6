import { once } from 'node:events'
import t, { type Test } from 'tap'
import { memoryStore } from '../../lib/store/memory.js'
import { build, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { statusOf } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

/** ms, far longer than each drain of these tests takes */
const LONG = 60_000

/**
 * Starts an application whose calls have two listens, one after the other. In the result, `hooks` lists
 * callSid and end reason of each hook of a second listen.
 */
async function twoListens(t: Test) {
  const app = await build(t)
  const hooks: string[] = []
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/first' }])
  app.jambonz.actionHook('/first', async () => [{ verb: 'listen', actionHook: '/second' }])
  app.jambonz.actionHook('/second', async ({ call, listen }) => {
    hooks.push(`${call.callSid} ${listen.endReason}`)
  })
  app.jambonz.statusHook('/status')
  const base = await listening(app)
  /** Begins a drain. The result's `over` becomes true when the drain has resolved. */
  const drain = (options?: { handover: boolean }) => {
    const draining = { over: false, done: Promise.resolve() }
    draining.done = app.jambonz.drain(LONG, options).then(() => {
      draining.over = true
    })
    return draining
  }
  return { app, base, hooks, drain }
}

t.test('a drain without handover lets live calls finish', async (t) => {
  const { app, base, hooks, drain } = await twoListens(t)
  const asked = await askForListen(app, '/in', base)
  const draining = drain()
  t.equal(app.jambonz.draining, true)
  const drainedAt = Date.now()
  // A call of the same millisecond may have begun before the drain.
  await until(() => Date.now() > drainedAt, 'the next millisecond')
  const later = await askForListen(app, '/in', base)
  t.equal(await statusOf(later.url), 503, 'the socket of a call that began after the drain is refused')

  const first = await asked.open()
  first.send(asked.metadata())
  first.send(ramp(100))
  first.close(1000)
  const [next] = (await asked.hook({ dial_call_duration: 1 })) as [{ url: string; actionHook: string }]
  t.equal(draining.over, false, 'the drain waits for the next listen of the call')
  const again = { ...asked, url: base + next.url }
  t.equal(await statusOf(again.url), 101)
  const answered = await app.inject({
    method: 'POST',
    url: next.actionHook,
    payload: { call_sid: asked.callSid, dial_call_duration: 1 }
  })
  t.equal(answered.statusCode, 200)
  // The second listen never gets a socket, so the drain waits until the call has ended.
  await app.inject({
    method: 'POST',
    url: '/status',
    payload: { call_sid: later.callSid, call_status: 'completed' }
  })
  await draining.done
  t.equal(hooks.length, 1, 'the hook of the second listen was answered before the drain resolved')
  t.equal(await statusOf(again.url), 503, 'after the drain, every socket is refused')
})

t.test('a drain does not wait for the sockets of a call that has ended', async (t) => {
  const { app, base, drain } = await twoListens(t)
  const { callSid } = await askForListen(app, '/in', base)
  const draining = drain()
  await app.inject({
    method: 'POST',
    url: '/status',
    payload: { call_sid: callSid, call_status: 'completed' }
  })
  await draining.done
  t.pass('the drain has resolved')
})

t.test('a drain does not wait for a listen whose socket another instance has', async (t) => {
  const store = memoryStore()
  const app = await build(t, { store })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
  const { callSid, id } = await askForListen(app, '/in')
  await store.write(callSid, [{ patch: { listens: [{ id, state: 'streaming', instance: 'other' }] } }])
  await app.jambonz.drain(LONG)
  t.pass('the drain has resolved')
})

t.test('a second drain() makes the first drain() resolve at once', async (t) => {
  const { app, base, drain } = await twoListens(t)
  const asked = await askForListen(app, '/in', base)
  const first = drain()
  await app.jambonz.drain()
  await first.done
  t.equal(await statusOf(asked.url), 503)
})

t.test(
  'with handover, but a store in memory, listens end as without handover, and the log says so',
  async (t) => {
    const lines: string[] = []
    const app = await build(t, {
      fastify: { logger: { level: 'warn', stream: { write: (line: string) => lines.push(line) } } }
    })
    const ended: string[] = []
    app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
    app.jambonz.actionHook('/done', async ({ listen }) => {
      ended.push(`${listen.state} ${listen.endReason}`)
    })
    const asked = await askForListen(app, '/in', await listening(app))
    const socket = await asked.open()
    socket.send(asked.metadata())
    socket.send(ramp(100))
    const closed = once(socket, 'close')
    const drained = app.jambonz.drain(0, { handover: true })
    await closed
    await asked.hook({ dial_call_duration: 1 })
    await drained
    t.strictSame(ended, ['ended drained'])
    t.match(lines.join(''), /no other instance can continue the listens.*redisStore\(\)/)
  }
)

t.test('with handover, a draining instance refuses every socket', async (t) => {
  const { app, base, drain } = await twoListens(t)
  const asked = await askForListen(app, '/in', base)
  const draining = drain({ handover: true })
  t.equal(await statusOf(asked.url), 503)
  await until(() => draining.over, 'the drain')
})
