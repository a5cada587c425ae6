import t from 'tap'
import { CALLS, killRecorders } from '../helpers/killRecorders.js'

// A few; `npm run test:soak` has more.
const KILLS = 6

t.test(
  `${KILLS} kills -9 at random moments under ${CALLS} calls lose nothing older than flushInterval`,
  (t) => killRecorders(t, KILLS)
)
