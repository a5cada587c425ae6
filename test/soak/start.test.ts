import t from 'tap'
import {
  COMPILED,
  endsInOrder,
  firstOf,
  NODE,
  PID_1,
  start,
  WITHOUT_NAMESPACES
} from '../helpers/startedExample.js'

for (const [name, command] of [
  ['npm start', COMPILED],
  ['node', NODE]
] as const) {
  t.test(
    `as process 1 of a container, ${name} drains and ends on SIGINT`,
    { skip: WITHOUT_NAMESPACES },
    async (t) => {
      const started = await start(t, [...PID_1, ...command], 1)
      process.kill(await firstOf(started.child), 'SIGINT')
      await endsInOrder(t, started)
    }
  )
}
