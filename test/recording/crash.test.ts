import t from 'tap'
import { CALLS, killRecorders } from '../helpers/killRecorders.js'

// `npm run test:soak` kills more often.
const KILLS = 6

t.test(
  `${KILLS} kills -9 at random moments under ${CALLS} calls lose nothing older than flushInterval`,
  (t) => killRecorders(t, KILLS)
)
