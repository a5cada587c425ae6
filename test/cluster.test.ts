import t from 'tap'
import { instanceDies, redisDies, rollingRestart, setUp, spread } from './helpers/clusterScenarios.js'
import { noRedis } from './helpers/redis.js'

// A short run; `npm run test:soak` has the long one.
const CALLS = 40
const LIVE_CALLS = 12
/** ms, long because other tests run at the same time; the soak test runs alone */
const MAX_GAP = 5_000

t.test('three instances behind a round-robin', { skip: noRedis() }, async (t) => {
  const scene = await setUp(t)
  t.test('calls whose webhook, socket and hook reach different instances are correlated once each', (t) =>
    spread(t, scene, CALLS)
  )
  t.test('calls are correlated while Redis is killed and restarted empty', (t) => redisDies(t, scene, CALLS))
  t.test('the listens of an instance killed -9 are lost once, and their hooks are answered', (t) =>
    instanceDies(t, scene, LIVE_CALLS)
  )
  t.test('live calls outlast a rolling restart', (t) =>
    rollingRestart(t, scene, { calls: LIVE_CALLS, told: false, maxGap: MAX_GAP })
  )
})
