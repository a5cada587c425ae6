/** Resolves when `promise` does, or after `ms`. */
export async function withinMs (ms: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => { timer = setTimeout(resolve, ms) })
  await Promise.race([promise, timeout])
  clearTimeout(timer)
}
