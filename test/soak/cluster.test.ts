import t from 'tap'
import { instanceDies, redisDies, rollingRestart, setUp, spread } from '../helpers/clusterScenarios.js'
import { noRedis } from '../helpers/redis.js'

const CALLS = 200
const LIVE_CALLS = 50
/** longest gap that a rolling restart may cause in a call's audio, in ms */
const MAX_GAP = 1_000

t.test(
  'calls to three instances behind a round-robin load balancer',
  { skip: noRedis(), timeout: 14 * 60_000 },
  async (t) => {
    const scene = await setUp(t)
    t.test(`${CALLS} calls are correlated even if webhook, socket and hook reach different instances`, (t) =>
      spread(t, scene, CALLS)
    )
    t.test('calls are correlated while Redis is killed and restarted empty', (t) =>
      redisDies(t, scene, CALLS)
    )
    t.test('each listen of an instance killed -9 is reported lost once, and its hook is answered', (t) =>
      instanceDies(t, scene, LIVE_CALLS)
    )
    t.test(`${LIVE_CALLS} live calls continue during a rolling restart of all instances`, (t) =>
      rollingRestart(t, scene, { calls: LIVE_CALLS, told: true, maxGap: MAX_GAP })
    )
    t.test('live calls continue even if the load balancer is not told of the restart', (t) =>
      rollingRestart(t, scene, { calls: LIVE_CALLS, told: false, maxGap: MAX_GAP })
    )
  }
)
