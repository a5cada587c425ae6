import t from 'tap'
import { mixedTransports, setUp } from '../helpers/clusterScenarios.js'
import { noRedis } from '../helpers/redis.js'

const CALLS = 200

t.test(
  `${CALLS} calls, asked for over HTTP or a websocket at random, outlast a kill -9 and a drain of two of three instances`,
  { skip: noRedis(), timeout: 3 * 60_000 },
  async (t) => mixedTransports(t, await setUp(t), CALLS)
)
