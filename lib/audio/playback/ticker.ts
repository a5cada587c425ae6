/** ms between two ticks. */
const TICK = 20

export interface Ticking {
  /** `now`: ms, as performance.now() */
  tick(now: number): void
}

const members = new Set<Ticking>()
let timer: NodeJS.Timeout | undefined

/** Ticks `member` from now on: one timer for all calls that are being spoken to. */
export function startTicking(member: Ticking): void {
  members.add(member)
  timer ??= setInterval(() => {
    const now = performance.now()
    for (const each of members) each.tick(now)
  }, TICK)
}

export function stopTicking(member: Ticking): void {
  if (!members.delete(member) || members.size > 0) return
  clearInterval(timer)
  timer = undefined
}
