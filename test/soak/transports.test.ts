import t from 'tap'
import { mixedTransports, setUp } from '../helpers/clusterScenarios.js'
import { noRedis } from '../helpers/redis.js'

const CALLS = 200

t.test(
  `${CALLS} calls, over HTTP or a websocket, survive a kill -9 of one instance and a drain of another`,
  { skip: noRedis(), timeout: 10 * 60_000 },
  async (t) => mixedTransports(t, await setUp(t), CALLS)
)
