/** Returns the ms of CPU that this process has used. On a busy machine they grow no faster than on an idle one. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
