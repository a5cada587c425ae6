import { availableParallelism, loadavg } from 'node:os'
import t from 'tap'
import { runChaos } from '../helpers/chaos.js'
import { noRedis } from '../helpers/redis.js'

const CALLS = Number(process.env.CHAOS_CALLS ?? 2_000)
const AT_ONCE = Number(process.env.CHAOS_AT_ONCE ?? 50)
const SEED = Number(process.env.CHAOS_SEED ?? Date.now() % 1_000_000)
/** maximum ms that an instance's event loop may be late because of its own work (99th percentile) */
const MAX_DELAY = 50
/** maximum number of problems to print */
const SHOWN = 10

t.test(
  `${CALLS} calls survive stalls, hang-ups, bad handlers, kills, a full disk, a dead Redis and jumping clocks`,
  { skip: noRedis(), timeout: 14 * 60_000 },
  async (t) => {
    const begun = performance.now()
    const { calls, instances, unanswered, lost, secrets, leaks, ...havoc } = await runChaos(t, {
      calls: CALLS,
      atOnce: AT_ONCE,
      seed: SEED
    })
    const p99 = Math.max(...instances.figures.map(({ p99 }) => p99))
    const max = Math.max(...instances.figures.map(({ max }) => max))
    const onMachine = Math.max(...instances.figures.map(({ p99OnMachine }) => p99OnMachine))
    const load = (loadavg()[0] ?? 0) / availableParallelism()
    const reasons = new Map<string, number>()
    for (const { callSid } of calls) {
      const reason = (instances.ends.get(callSid) ?? instances.hooks.get(callSid))?.endReason ?? 'no listen'
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    }
    for (const line of [
      `CHAOS_SEED=${SEED}: ${calls.length} calls in ${Math.round((performance.now() - begun) / 1000)} s; instances killed -9: ${instances.killed}, drained: ${instances.drained}; Redis broken: ${havoc.redisDeaths} times; clock jumps: ${havoc.jumps}; strangers: ${havoc.strangers}`,
      `listens ended: ${[...reasons].map(([reason, count]) => `${reason} ${count}`).join(', ')}; recordings failed: ${instances.failed.size}`,
      `processes that died: ${instances.died.length}; hung: ${instances.hung.length}; unhandled: ${instances.unhandled.length}; calls lost: ${lost.length}; requests not answered: ${unanswered.length}`,
      `bytes of pauses: ${secrets.sent} sent, ${secrets.found} found; found of what was said in the open: ${secrets.inTheOpen}; pauses that no socket heard of: ${secrets.neverAnnounced}`,
      `event loop, by its own work: p99 ${p99.toFixed(1)} ms, longest ${max.toFixed(1)} ms; with what the machine took: p99 ${onMachine.toFixed(1)} ms at a load of ${load.toFixed(1)} a core`
    ]) {
      // Written to stderr, because test/reporter.js does not print a t.comment().
      process.stderr.write(`# ${line}\n`)
    }
    t.strictSame(instances.died, [], 'no process died')
    t.strictSame(instances.hung, [], 'no process hung')
    t.strictSame(instances.unhandled, [], 'no error was unhandled')
    t.strictSame(instances.warnings, [], 'Node.js printed no warning')
    t.strictSame(lost.slice(0, SHOWN), [], 'no call was lost')
    t.strictSame(unanswered.slice(0, SHOWN), [], 'each request was answered')
    t.strictSame(leaks.slice(0, SHOWN), [], 'no private audio is on the disk')
    t.ok(
      secrets.sent > 0 && secrets.inTheOpen > 0,
      'secrets were sent in private, and secrets that were said outside of privacy are found'
    )
    t.ok(p99 < MAX_DELAY, `the event loop was late by ${p99.toFixed(1)} ms, 99th percentile`)
  }
)
