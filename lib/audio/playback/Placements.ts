/** Something that happens at a place in the audio that is written: a mark, a flush. */
export interface Placement {
  /** bytes of audio before it */
  at: number
  isMark: boolean
  /** returns false while it can't be done yet */
  place: (now: number) => boolean
  /** it will never be done */
  drop: () => void
}

/** What is still to happen, in the order of its places. */
export class Placements {
  #waiting: Placement[] = []

  get next(): Placement | undefined {
    return this.#waiting[0]
  }

  add(placement: Placement): void {
    this.#waiting.push(placement)
  }

  remove(placement: Placement): void {
    this.#waiting = this.#waiting.filter((other) => other !== placement)
  }

  dropMarks(): void {
    const marks = this.#waiting.filter(({ isMark }) => isMark)
    this.#waiting = this.#waiting.filter(({ isMark }) => !isMark)
    for (const { drop } of marks) drop()
  }

  /** All of them, which wait no longer. */
  takeAll(): Placement[] {
    const taken = this.#waiting
    this.#waiting = []
    return taken
  }
}
