const INTERVAL = 10
/** ms to wait, enough for a busy machine */
const PATIENCE = 20_000

/**
 * Resolves to the result of `condition` as soon as it is truthy. Rejects with an error that names `what` if it never
 * is.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  ms = PATIENCE
): Promise<NonNullable<T>> {
  const deadline = Date.now() + ms
  for (;;) {
    const value = await condition()
    if (value) return value as NonNullable<T>
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, INTERVAL))
  }
}
