import { once } from 'node:events'
import t from 'tap'
import {
  COMPILED,
  endsInOrder,
  firstOf,
  NODE,
  NPM,
  PID_1,
  start,
  WITHOUT_NAMESPACES
} from '../helpers/startedExample.js'
import { until } from '../helpers/until.js'

t.jobs = 2

// The terminal sends SIGINT to every process of the group, and npm passes its SIGINT on. So the application
// gets two.
t.test('Ctrl-C in npm start drains live calls and completes their recordings', async (t) => {
  const started = await start(t, NPM, 1)
  process.kill(-started.child.pid!, 'SIGINT')
  await once(started.socket, 'close')
  await endsInOrder(t, started)
  t.notMatch(started.output(), /told again/)
})

t.test('SIGTERM that is sent only to npm drains the application', async (t) => {
  const started = await start(t, COMPILED, 1)
  process.kill(started.child.pid!, 'SIGTERM')
  await once(started.socket, 'close')
  await endsInOrder(t, started)
})

t.test('the application ends when the npm that started it is killed -9', async (t) => {
  const started = await start(t, COMPILED, 0)
  process.kill(started.child.pid!, 'SIGKILL')
  await once(started.socket, 'close')
  await until(started.isGone, "the application's port to be free")
  await until(
    async () => !(await started.wavs()).some((name) => name.includes('.part.')),
    'a complete recording'
  )
  t.equal((await started.wavs()).length, 1)
})

t.test('the application runs as process 1 of a container', { skip: WITHOUT_NAMESPACES }, async (t) => {
  t.jobs = 2
  for (const [name, command] of [
    ['npm start', COMPILED],
    ['node', NODE]
  ] as const) {
    t.test(`${name} drains and ends on SIGTERM`, async (t) => {
      const started = await start(t, [...PID_1, ...command], 1)
      process.kill(await firstOf(started.child), 'SIGTERM')
      await endsInOrder(t, started)
    })
  }
  t.test('a second signal ends the calls at once with complete recordings', async (t) => {
    const started = await start(t, [...PID_1, ...NODE], 600)
    const pid = await firstOf(started.child)
    process.kill(pid, 'SIGTERM')
    await until(() => started.output().includes('stopping: '), 'the drain to begin')
    await until(() => {
      // Sends the signal repeatedly, because within 500 ms of the first one it does not count as a second
      // signal.
      process.kill(pid, 'SIGTERM')
      return started.output().includes('told again to stop')
    }, 'the second signal to be logged')
    await endsInOrder(t, started)
    t.notMatch(started.output(), /third/)
  })
})
