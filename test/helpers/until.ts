/** ms between two polls by default */
const INTERVAL = 10
/** ms to wait by default: long, because a busy machine may need a minute for what takes no time on an idle one */
const PATIENCE = 120_000

/**
 * Polls `condition` every `interval` ms until its result is truthy, and resolves to the result. After `ms` it
 * rejects with an error that names `what`. A condition that takes much CPU needs a longer interval.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  ms = PATIENCE,
  interval = INTERVAL
): Promise<NonNullable<T>> {
  const deadline = Date.now() + ms
  for (;;) {
    const value = await condition()
    if (value) return value as NonNullable<T>
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, interval))
  }
}
