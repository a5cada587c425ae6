/** ms that jambonz has to carry out a clear, and to report the marks it cleared. */
const DEADLINE = 1_000
/** The same where marks don't tell. */
const HOLD = 200

/** Begins a name that no mark of the application has on the wire. */
const FENCE = 'clear~'

/**
 * A clear that jambonz has been asked for and may not have carried out: audio that reaches it too soon would be
 * thrown away with the rest. Marks that come back as cleared tell; where none is waiting, a fence does: a mark sent
 * behind the kill, which with nothing in the audio is reported as soon as jambonz has looked at it.
 */
export class Clearing {
  #until: number | undefined
  #fence: string | undefined
  #count = 0

  get underWay(): boolean {
    return this.#until !== undefined
  }

  begin(now: number, marksWork: boolean): void {
    this.#until = now + (marksWork ? DEADLINE : HOLD)
  }

  isOverdue(now: number): boolean {
    return this.#until !== undefined && now >= this.#until
  }

  /** The name of a fence to send; undefined when it has been sent. */
  raiseFence(): string | undefined {
    if (this.#fence !== undefined) return undefined
    this.#fence = `${FENCE}${++this.#count}`
    return this.#fence
  }

  /** Whether a mark is one of ours, also when it comes too late. */
  isFence(name: string): boolean {
    return name.startsWith(FENCE)
  }

  end(): void {
    this.#until = undefined
    this.#fence = undefined
  }
}
