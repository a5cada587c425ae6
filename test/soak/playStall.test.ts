import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { PlayStall } from '../helpers/playChild.js'
import { missing } from '../helpers/recordings.js'

const CHILD = join(import.meta.dirname, '../helpers/playChild.js')
/**
 * maximum ms for which converting files may block the event loop; the test adds the ms for which other
 * processes block it
 */
const MAX_STALL = 20

for (const [what, skip, args] of [
  ['a minute of music', false, []],
  ['an MP3', missing('ffmpeg'), ['mp3']]
] as const) {
  t.test(
    `playing ${what} to each of five calls does not block the event loop`,
    { skip, timeout: 6 * 60_000 },
    async (t) => {
      const { stdout } = await promisify(execFile)(process.execPath, [CHILD, ...args], {
        timeout: 5 * 60_000
      })
      const { controlMs, stallMs, convertedMs } = JSON.parse(stdout) as PlayStall
      const told = `${stallMs.toFixed(1)} ms, in parts of 1 ms ${controlMs.toFixed(1)} ms; one is converted in ${Math.round(convertedMs)} ms`
      t.comment(told)
      t.ok(stallMs < MAX_STALL + controlMs, told)
    }
  )
}
