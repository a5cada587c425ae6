import t from 'tap'
import { instanceDies, redisDies, rollingRestart, setUp, spread } from './helpers/clusterScenarios.js'
import { noRedis } from './helpers/redis.js'

// This test makes few calls; test/soak/cluster.test.ts makes many.
const CALLS = 40
const LIVE_CALLS = 12
/**
 * Longest gap that a rolling restart may cause in a call's audio, in ms. It is long because other tests run
 * at the same time.
 */
const MAX_GAP = 5_000

t.test('calls to three instances behind a round-robin load balancer', { skip: noRedis() }, async (t) => {
  const scene = await setUp(t)
  t.test('calls are correlated even if webhook, socket and hook reach different instances', (t) =>
    spread(t, scene, CALLS)
  )
  t.test('calls are correlated while Redis is killed and restarted empty', (t) => redisDies(t, scene, CALLS))
  t.test('each listen of an instance killed -9 is reported lost once, and its hook is answered', (t) =>
    instanceDies(t, scene, LIVE_CALLS)
  )
  t.test('live calls continue during a rolling restart of all instances', (t) =>
    rollingRestart(t, scene, { calls: LIVE_CALLS, told: false, maxGap: MAX_GAP })
  )
})
