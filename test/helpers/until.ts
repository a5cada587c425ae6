const INTERVAL = 10
/** ms, as long as a busy machine may need for what takes none */
const PATIENCE = 20_000

/** Resolves with what `condition` gives as soon as that is truthy. Rejects, naming `what`, when it never is. */
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
