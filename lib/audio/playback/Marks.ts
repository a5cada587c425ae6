import { hasMarkSample, withoutMarkSamples } from '../../pcm/samples.js'
import type { MarkEvent, MarkOutcome } from '../socket/types.js'

/** Marks that may wait at once: jambonz drops a further one without a word (mod_audio_fork). */
const MAX_MARKS = 30
/** ms that a mark may be overdue before it is taken as lost. */
const GRACE = 3_000
/** Names remembered for late reports. */
const MAX_UNREPORTED = 100
/** Names that survive the module, which neither escapes nor limits them. */
const SAFE_NAME = /^[\w .:@+#-]{1,64}$/

/** ms that jambonz has to carry out a clear, and to report the marks it cleared */
const CLEAR_DEADLINE = 1_000
/** The same where marks don't tell. */
const CLEAR_HOLD = 200
/** ms by which the caller may hear audio later than the clock says. */
const PLAYOUT_MARGIN = 500
/** Begins a name that no mark of the application has on the wire. */
const FENCE = 'clear~'

/** One mark, from the place where the audio reached it. */
export interface Mark {
  /** undefined: none of the application's, which is not told of it */
  readonly name: string | undefined
  readonly wireName: string
  /** of the application's audio before it */
  readonly positionMs: number
  /** whether jambonz decides when it is reached; the clock otherwise */
  real: boolean
  /** a sample inside the audio stands for it */
  inBand: boolean
  /** ms on the clock after which it is lost */
  readonly dueAt: number
  /** the application has cleared it; jambonz will report it all the same */
  forgotten: boolean
}

/** The marks that have been placed and not been reached, oldest first: their order is the order of their reports. */
export class Marks {
  readonly #onOutcome: (mark: MarkEvent) => void
  readonly #settlers = new Map<Mark, (outcome: MarkOutcome) => void>()
  // Names of marks that were settled without a report, which may still come.
  readonly #unreported = new Set<string>()
  #placed: Mark[] = []
  #count = 0
  #stale = 0

  constructor(onOutcome: (mark: MarkEvent) => void) {
    this.#onOutcome = onOutcome
  }

  get size(): number {
    return this.#placed.length
  }

  /** Marks that jambonz has yet to report. */
  get waiting(): number {
    return this.#placed.reduce((sum, { real }) => sum + Number(real), 0)
  }

  get full(): boolean {
    return this.waiting >= MAX_MARKS
  }

  /** Position of the first one that jambonz has not reported: the caller has not heard more. */
  get limitMs(): number {
    return this.#placed.find(({ real }) => real)?.positionMs ?? Infinity
  }

  place(
    name: string | undefined,
    real: boolean,
    positionMs: number,
    expectedAt: number,
    settle: (outcome: MarkOutcome) => void
  ): Mark {
    const wireName = name !== undefined && SAFE_NAME.test(name) ? name : `~${++this.#count}`
    const mark: Mark = {
      name,
      wireName,
      positionMs,
      real,
      inBand: false,
      dueAt: expectedAt + GRACE,
      forgotten: false
    }
    this.#placed.push(mark)
    this.#settlers.set(mark, settle)
    return mark
  }

  /** Audio goes to jambonz: the marks before it are inside it now. */
  enterAudio(): void {
    for (const mark of this.#placed) if (mark.real) mark.inBand = true
  }

  /** Returns true for a report that comes late: of a mark that is no longer placed here. */
  isLate({ name }: MarkEvent): boolean {
    return this.#unreported.delete(name)
  }

  /** The mark that a report speaks of. */
  find({ name }: MarkEvent): Mark | undefined {
    return this.#placed.find(({ real, wireName }) => real && wireName === name)
  }

  /** jambonz reports a mark. */
  report(mark: Mark, event: MarkOutcome): void {
    if (event === 'playout') {
      // What lies before it has been played too, and is not reported any more if it has not been so far.
      while (this.#placed[0] !== mark) this.#settle(this.#placed[0], 'playout', false)
    } else if (mark.inBand) this.#stale++
    this.#settle(mark, event, true)
  }

  /** Stops believing jambonz' reports, which were wrong: from now on the clock decides. */
  distrust(): void {
    for (const mark of this.#placed.filter(({ real }) => real)) {
      mark.real = false
      this.#expectLate(mark)
    }
  }

  /** Marks whose sample jambonz threw away while it still counts on it: they shift all later ones by as many. */
  get stale(): number {
    return this.#stale
  }

  /** The cure for `stale` is under way. */
  cured(): void {
    this.#stale = 0
  }

  /** Settles the marks of the clock that it has reached. */
  played(playedMs: number): void {
    for (
      let first = this.#placed[0];
      first !== undefined && !first.real && first.positionMs <= playedMs;
      first = this.#placed[0]
    ) {
      this.#settle(first, 'playout', false)
    }
  }

  /** The oldest mark that jambonz should have reported long ago, settled as the clock tells. */
  takeLost(now: number): Mark | undefined {
    const first = this.#placed[0]
    if (first === undefined || !first.real || now < first.dueAt) return undefined
    this.#settle(first, 'playout', false)
    return first
  }

  /** Those of the clock are gone with their audio; the others are reported by jambonz. */
  clearClocked(): void {
    for (const mark of this.#placed.filter(({ real }) => !real)) this.#settle(mark, 'cleared', false)
  }

  /** Nothing is reported any more: of the call, or in time after a clear. */
  clearAll(): void {
    for (const mark of [...this.#placed]) {
      if (mark.inBand) this.#stale++
      this.#settle(mark, 'cleared', false)
    }
  }

  /** The application wants no more word of them; jambonz goes on counting them. */
  forget(): void {
    for (const mark of this.#placed.filter(({ name }) => name !== undefined)) {
      if (!mark.real) this.#settle(mark, 'cleared', false)
      else if (!mark.forgotten) {
        mark.forgotten = true
        this.#tell(mark, 'cleared')
      }
    }
  }

  #settle(mark: Mark | undefined, outcome: MarkOutcome, reported: boolean): void {
    if (mark === undefined) return
    this.#placed = this.#placed.filter((other) => other !== mark)
    if (mark.real && !reported) this.#expectLate(mark)
    if (!mark.forgotten) this.#tell(mark, outcome)
  }

  #expectLate({ wireName }: Mark): void {
    if (this.#unreported.size < MAX_UNREPORTED) this.#unreported.add(wireName)
  }

  #tell(mark: Mark, outcome: MarkOutcome): void {
    this.#settlers.get(mark)?.(outcome)
    this.#settlers.delete(mark)
    if (mark.name !== undefined) this.#onOutcome({ name: mark.name, event: outcome })
  }
}

/**
 * A clear that jambonz was asked for and may not have carried out: audio that reaches it too soon would be thrown away
 * with the rest. Marks that come back as cleared tell; where none is waiting, a fence does: a mark sent behind the
 * kill, which with nothing in the audio is reported as soon as jambonz has looked at it.
 */
export class Clearing {
  #until: number | undefined
  #fence: string | undefined
  #count = 0

  get underWay(): boolean {
    return this.#until !== undefined
  }

  begin(now: number, marksWork: boolean): void {
    this.#until = now + (marksWork ? CLEAR_DEADLINE : CLEAR_HOLD)
  }

  isOverdue(now: number): boolean {
    return this.#until !== undefined && now >= this.#until
  }

  /** Returns the name of a fence to send; undefined where it was sent. */
  raiseFence(): string | undefined {
    if (this.#fence !== undefined) return undefined
    this.#fence = `${FENCE}${++this.#count}`
    return this.#fence
  }

  /** Tells whether a mark is one of ours, also when it comes too late. */
  isFence(name: string): boolean {
    return name.startsWith(FENCE)
  }

  end(): void {
    this.#until = undefined
    this.#fence = undefined
  }
}

/** The samples of the application's audio that jambonz takes for marks while any mark waits. */
export class MarkSamples {
  #avoided = false
  // Until then audio is being played that may contain some.
  #playedUntil = -Infinity

  /** Marks are in use: no sample may look like one any more. */
  avoid(): void {
    this.#avoided = true
  }

  /** Returns the audio as it may be sent. */
  without(audio: Buffer): Buffer {
    return this.#avoided ? withoutMarkSamples(audio) : audio
  }

  /** Audio was sent that is played until `playedUntil`, ms on the clock. */
  sent(audio: Buffer, playedUntil: number): void {
    if (!this.#avoided && hasMarkSample(audio)) this.#playedUntil = playedUntil + PLAYOUT_MARGIN
  }

  /** Returns true while audio that contains some may be playing. */
  mayPlay(now: number): boolean {
    return now < this.#playedUntil
  }
}
