import t from 'tap'
import { instanceDies, redisDies, rollingRestart, setUp, spread } from '../helpers/clusterScenarios.js'
import { noRedis } from '../helpers/redis.js'

const CALLS = 200
const LIVE_CALLS = 50
/** longest gap in a call's audio, in ms */
const MAX_GAP = 1_000

t.test('three instances behind a round-robin', { skip: noRedis(), timeout: 5 * 60_000 }, async (t) => {
  const scene = await setUp(t)
  t.test(
    `${CALLS} calls whose webhook, socket and hook are spread over them are all correlated, none twice`,
    (t) => spread(t, scene, CALLS)
  )
  t.test('calls are correlated while Redis is killed and restarted empty', (t) => redisDies(t, scene, CALLS))
  t.test('the listens of an instance killed -9 are lost once, and their hooks are answered', (t) =>
    instanceDies(t, scene, LIVE_CALLS)
  )
  t.test(`${LIVE_CALLS} live calls outlast a rolling restart`, (t) =>
    rollingRestart(t, scene, { calls: LIVE_CALLS, told: true, maxGap: MAX_GAP })
  )
  t.test('live calls outlast a rolling restart that the round-robin does not know of', (t) =>
    rollingRestart(t, scene, { calls: LIVE_CALLS, told: false, maxGap: MAX_GAP })
  )
})
