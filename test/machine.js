import { readFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'

/** bytes that a test process and the processes that it starts take, at most */
const BYTES_PER_PROCESS = 700_000_000

/**
 * Files in which Linux names the limit of a container's CPU time: the µs of CPU per period, and the period. The first
 * is that of cgroup 2, where one file has both numbers.
 */
const LIMITS = [
  ['/sys/fs/cgroup/cpu.max'],
  ['/sys/fs/cgroup/cpu/cpu.cfs_quota_us', '/sys/fs/cgroup/cpu/cpu.cfs_period_us']
]

/** Returns the number of cores that this process may use. Node.js does not know the limit of a container. */
function cores() {
  const limits = LIMITS.map((files) => {
    try {
      const [quota, period] = files
        .map((file) => readFileSync(file, 'utf8'))
        .join(' ')
        .trim()
        .split(/\s+/)
        .map(Number)
      return quota > 0 && period > 0 ? quota / period : Infinity
    } catch {
      return Infinity
    }
  })
  return Math.min(availableParallelism(), ...limits)
}

/**
 * Returns the number of test processes that run at the same time. They wait for half of their time, so more processes
 * run than there are cores, but not many: too many would starve each other. None of them may run out of memory.
 */
export function jobsOfMachine() {
  const memory = Math.min(totalmem(), process.constrainedMemory() || Infinity)
  const most = cores() < 2 ? 2 : Math.floor(cores()) + 3
  return Math.max(1, Math.min(most, Math.floor(memory / BYTES_PER_PROCESS)))
}
