import { readFileSync } from 'node:fs'
import { arch, cpus, platform, totalmem } from 'node:os'
import { isPinned } from './Process.js'

/** Describes the machine in Markdown lines, without names that would identify it. */
export function describeEnvironment(): string[] {
  const [cpu] = cpus()
  return [
    `${cpus().length} cores (${cpu?.model.trim() ?? arch()}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${platform()} ${arch()}${isVirtual() ? ', virtual' : ''}`,
    `Node.js ${process.versions.node}, V8 ${process.versions.v8}`,
    isPinned()
      ? 'the server on one core, the load generator on another'
      : 'no taskset: server and load generator share the cores'
  ]
}

function isVirtual(): boolean {
  try {
    return /^flags\b.*\bhypervisor\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))
  } catch {
    return false
  }
}
