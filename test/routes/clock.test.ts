import { shiftDate } from '../helpers/shiftedDate.js'
import t, { type Test } from 'tap'
import { build, listening } from '../helpers/build.js'
import { askForListen } from '../helpers/listen.js'
import { statusOf } from '../helpers/socket.js'

// The clock of a machine is set during calls: by NTP, or when a machine without a battery learns the time.

const HOUR = 3_600_000
/** ms, far longer than a drain of these tests takes */
const LONG = 60_000

async function application(t: Test) {
  const app = await build(t)
  app.jambonz.webhook('/in', async () => [{ verb: 'listen', actionHook: '/done' }])
  app.jambonz.actionHook('/done', async () => [])
  return { app, base: await listening(app) }
}

/** Sets the clock by `ms`. At the end of the test, it is set back. */
function setClock(t: Test, ms: number): void {
  shiftDate(ms)
  t.teardown(() => shiftDate(-ms))
}

for (const hours of [-72, 72]) {
  t.test(`a socket opens even if the clock is set by ${hours} h after the answer`, async (t) => {
    const { app, base } = await application(t)
    const { url } = await askForListen(app, '/in', base)
    setClock(t, hours * HOUR)
    t.equal(await statusOf(url), 101)
  })

  t.test(`a drain takes the sockets of earlier calls even if the clock was set by ${hours} h`, async (t) => {
    const { app, base } = await application(t)
    const live = await askForListen(app, '/in', base)
    const earlier = await askForListen(app, '/in', base)
    const sockets = [await live.open()]
    setClock(t, hours * HOUR)
    const drained = app.jambonz.drain(LONG)
    sockets.push(await earlier.open())
    for (const socket of sockets) socket.close(1000)
    await Promise.all([live.hook(), earlier.hook(), drained])
    t.match(await app.jambonz.calls.list(), [
      { listens: [{ state: 'ended', connected: true }] },
      { listens: [{ state: 'ended', connected: true }] }
    ])
  })
}
