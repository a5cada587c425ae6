import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { ENDLESS_SPEAKERS } from '../helpers/endlessSpeakers.js'
import type { HangUp } from '../helpers/hangUpChild.js'

const CHILD = join(import.meta.dirname, '../helpers/hangUpChild.js')
/**
 * ms that a process may take for all its handlers. Then it is killed, because a handler may have blocked it.
 */
const PATIENCE = 240_000
/** ms that the event loop may be delayed after a hang-up */
const MAX_DELAY = 20
/** ms of CPU that the process may use in the 300 ms after a hang-up; an endless loop would use all 300 */
const MAX_CPU = 150

/** Runs the named handlers in a process and hangs up on each. Resolves to the outcomes by name. */
function hangUpOn(names: string[]): Promise<Map<string, HangUp>> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--unhandled-rejections=strict', CHILD, ...names],
      { timeout: PATIENCE, killSignal: 'SIGKILL' },
      (_err, stdout, stderr) => {
        if (stderr !== '') t.comment(stderr)
        const lines = stdout.split('\n').filter((line) => line !== '')
        resolve(new Map(lines.map((line) => JSON.parse(line) as HangUp).map((each) => [each.name, each])))
      }
    )
  })
}

t.test('a hangup stops a handler that writes in an endless loop', { timeout: 300_000 }, async (t) => {
  const names = Object.keys(ENDLESS_SPEAKERS)
  const half = Math.ceil(names.length / 2)
  const found = await Promise.all([hangUpOn(names.slice(0, half)), hangUpOn(names.slice(half))])
  const all = new Map(found.flatMap((map) => [...map]))
  for (const [name, { ends }] of Object.entries(ENDLESS_SPEAKERS)) {
    const result = all.get(name)
    t.ok(result, `${name}: the process survives`)
    if (result === undefined) continue
    const { delayMs, cpuMs, ended, destroyed } = result
    t.ok(delayMs < MAX_DELAY, `${name}: the event loop is ${delayMs.toFixed(1)} ms late`)
    t.ok(cpuMs < MAX_CPU, `${name}: ${Math.round(cpuMs)} ms of CPU in 300 ms`)
    t.ok(destroyed, `${name}: the stream is destroyed`)
    if (ends) t.ok(ended, `${name}: the handler ends`)
  }
})
