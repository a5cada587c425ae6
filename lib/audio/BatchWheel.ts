/** Every batched socket is read once in this many ms; what comes meanwhile waits in the kernel. */
export const BATCH_INTERVAL = 200
// At 64 kHz stereo, the most that jambonz sends, 51,200 bytes gather in that time: one read.
const SLOTS = 10
const SLOT_MS = BATCH_INTERVAL / SLOTS

export interface Batched {
  /** Reads what waits; true where it can't, and the socket has to be open until `shut`. */
  open (): boolean
  shut (): void
}

/**
 * One timer for all calls that nobody listens to live. Each is read every BATCH_INTERVAL, spread over slots so that
 * not all are read at once. Node polls the sockets between a timer and the next setImmediate: what was opened in the
 * one is read out, however much there is, before it is shut in the other.
 */
export class BatchWheel {
  readonly #slots: Array<Set<Batched>> = Array.from({ length: SLOTS }, () => new Set())
  #current = 0
  #size = 0
  #timer: NodeJS.Timeout | undefined

  get size (): number {
    return this.#size
  }

  add (member: Batched): void {
    const slot = this.#slots.reduce((least, other) => other.size < least.size ? other : least)
    slot.add(member)
    this.#size++
    this.#timer ??= setInterval(() => this.#turn(), SLOT_MS)
  }

  remove (member: Batched): void {
    if (!this.#slots.some((slot) => slot.delete(member))) return
    this.#size--
    if (this.#size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #turn (): void {
    this.#current = (this.#current + 1) % SLOTS
    const slot = this.#slots[this.#current]
    if (slot === undefined || slot.size === 0) return
    let opened: Batched[] | undefined
    for (const member of slot) if (member.open()) (opened ??= []).push(member)
    if (opened !== undefined) this.#shutLater(opened)
  }

  #shutLater (opened: readonly Batched[]): void {
    setImmediate(() => {
      for (const member of opened) member.shut()
    })
  }
}

/** The wheel of this process. */
export const batchWheel = new BatchWheel()
