const waiting: Array<() => void> = []

/**
 * Resolves when it is the caller's turn: one turn in each round of the event loop, for all calls together. Whoever has
 * long work to do takes a turn for each small part of it, so that no call waits for the whole.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve)
    if (waiting.length === 1) setImmediate(giveTurn)
  })
}

function giveTurn(): void {
  waiting[0]?.()
  waiting.shift()
  if (waiting.length > 0) setImmediate(giveTurn)
}
