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

// The terminal sends SIGINT to every process of the group, and npm passes its own on, so that the application gets two.
t.test('Ctrl-C in npm start drains live calls and completes their recordings', async (t) => {
  const started = await start(t, NPM, 1)
  process.kill(-started.child.pid!, 'SIGINT')
  await once(started.socket, 'close')
  await endsInOrder(t, started)
  t.notMatch(started.output(), /told again/)
})

t.test('SIGTERM to npm alone drains the application', async (t) => {
  const started = await start(t, COMPILED, 1)
  process.kill(started.child.pid!, 'SIGTERM')
  await once(started.socket, 'close')
  await endsInOrder(t, started)
})

t.test('the application ends when its npm is killed -9', async (t) => {
  const started = await start(t, COMPILED, 0)
  process.kill(started.child.pid!, 'SIGKILL')
  await once(started.socket, 'close')
  await until(started.isGone, 'its port to be free')
  await until(async () => !(await started.wavs()).some((name) => name.includes('.part.')), 'a whole file')
  t.equal((await started.wavs()).length, 1)
})

t.test('the application runs as process 1 of a container', { skip: WITHOUT_NAMESPACES }, async (t) => {
  t.jobs = 2
  for (const [name, command] of [
    ['npm start', COMPILED],
    ['node', NODE]
  ] as const) {
    t.test(`${name} ends in order on SIGTERM`, async (t) => {
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
      // Sends the signal until it counts as a second one: within 500 ms it counts as the same one.
      process.kill(pid, 'SIGTERM')
      return started.output().includes('told again to stop')
    }, 'the second one')
    await endsInOrder(t, started)
    t.notMatch(started.output(), /third/)
  })
})
