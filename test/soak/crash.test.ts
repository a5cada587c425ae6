import t from 'tap'
import { CALLS, killRecorders } from '../helpers/killRecorders.js'

const KILLS = 50

t.test(
  `${KILLS} kills -9 at random moments under ${CALLS} calls lose nothing older than flushInterval`,
  { timeout: 110_000 },
  (t) => killRecorders(t, KILLS)
)
