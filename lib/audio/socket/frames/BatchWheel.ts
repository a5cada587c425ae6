/** ms between two reads of a batched socket, at most; what comes meanwhile waits in the kernel. */
export const BATCH_INTERVAL = 800
const SLOT_MS = 20
const SLOTS = BATCH_INTERVAL / SLOT_MS

export interface Batched {
  /** ms between two reads */
  readonly interval: number
  /** Reads what waits; true where it can't, and the socket has to be open until `shut`. */
  open(): boolean
  shut(): void
}

/**
 * One timer for all calls that nobody listens to live, spread over slots so that not all are read at once. Where a
 * socket can't be read directly: Node polls the sockets between a timer and the next setImmediate; what was opened in
 * the one is read out before it is shut in the other.
 */
export class BatchWheel {
  readonly #slots: Array<Set<Batched>> = Array.from({ length: SLOTS }, () => new Set())
  readonly #places = new Map<Batched, Set<Batched>>()
  #current = 0
  #timer: NodeJS.Timeout | undefined

  get size(): number {
    return this.#places.size
  }

  add(member: Batched): void {
    let emptiest = this.#slot(1)
    for (let ahead = 2; ahead <= stepsOf(member); ahead++) {
      const slot = this.#slot(ahead)
      if (slot.size < emptiest.size) emptiest = slot
    }
    this.#put(member, emptiest)
    this.#timer ??= setInterval(() => this.#turn(), SLOT_MS)
  }

  remove(member: Batched): void {
    this.#places.get(member)?.delete(member)
    this.#places.delete(member)
    if (this.#places.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #turn(): void {
    this.#current = (this.#current + 1) % SLOTS
    const slot = this.#slot(0)
    if (slot.size === 0) return
    const opened: Batched[] = []
    // Reading may take members out, and put them back.
    for (const member of [...slot]) {
      if (this.#places.get(member) !== slot) continue
      slot.delete(member)
      this.#put(member, this.#slot(stepsOf(member)))
      if (member.open()) opened.push(member)
    }
    if (opened.length > 0) {
      setImmediate(() => {
        for (const member of opened) member.shut()
      })
    }
  }

  #put(member: Batched, slot: Set<Batched>): void {
    slot.add(member)
    this.#places.set(member, slot)
  }

  #slot(ahead: number): Set<Batched> {
    return this.#slots[(this.#current + ahead) % SLOTS] as Set<Batched>
  }
}

function stepsOf({ interval }: Batched): number {
  return Math.min(SLOTS, Math.max(1, Math.floor(interval / SLOT_MS)))
}

/** The wheel of this process. */
export const batchWheel = new BatchWheel()
