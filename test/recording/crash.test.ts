import t from 'tap'
import { CALLS, killRecorders } from '../helpers/killRecorders.js'

// test/soak/crash.test.ts runs this test with more kills.
const KILLS = 6

t.test(
  `after ${KILLS} kills -9 during ${CALLS} calls, recordings contain all audio older than flushInterval`,
  (t) => killRecorders(t, KILLS)
)
