import t from 'tap'
import { CALLS, killRecorders } from '../helpers/killRecorders.js'

const KILLS = 50

t.test(
  `after ${KILLS} kills -9 during ${CALLS} calls, recordings contain all audio older than flushInterval`,
  { timeout: 10 * 60_000 },
  (t) => killRecorders(t, KILLS)
)
