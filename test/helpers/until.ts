const INTERVAL = 10

/** Resolves with what `probe` gives as soon as that is truthy. Rejects, naming `what`, when it never is. */
export async function until<T> (what: string, probe: () => T | Promise<T>, timeoutMs = 5_000): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value) return value as NonNullable<T>
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, INTERVAL))
  }
}
