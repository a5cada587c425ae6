import { hasMarkSample, withoutMarkSamples } from '../../pcm/samples.js'
import type { MarkEvent, MarkOutcome } from '../socket/types.js'

/** Marks that may wait at once: jambonz drops a further one without a word (mod_audio_fork). */
const MAX_MARKS = 30
/** ms that a mark may be overdue before it is taken as lost. */
const GRACE = 3_000
/** Names that are remembered for late reports. */
const MAX_UNREPORTED = 100
/** Names that mod_audio_fork passes on unchanged: it neither escapes nor limits them. */
const SAFE_NAME = /^[\w .:@+#-]{1,64}$/

/** ms that jambonz has to carry out a clear, and to report the marks it cleared */
const CLEAR_DEADLINE = 1_000
/** ms that jambonz has to carry out a clear, if marks are not to be trusted */
const CLEAR_HOLD = 200
/** ms by which the caller may hear audio later than the clock says. */
const PLAYOUT_MARGIN = 500
/** Prefix of the names of fences. No mark of the application has it on the wire. */
const FENCE = 'clear~'

/** A mark that has been placed: the audio before it was sent. */
export interface Mark {
  /** undefined: a mark of ours, which the application does not see */
  readonly name: string | undefined
  readonly wireName: string
  /** ms of the application's audio before it */
  readonly positionMs: number
  /** true: jambonz reports when it is reached; false: the clock decides */
  real: boolean
  /** A sample in the audio stands for it. */
  inBand: boolean
  /** ms on the clock: if jambonz has not reported it by then, it is lost */
  readonly dueAt: number
  /** The application has cleared it, but jambonz will still report it. */
  forgotten: boolean
}

/** The marks that have been placed and not been reached, oldest first. jambonz reports them in this order. */
export class Marks {
  readonly #onOutcome: (mark: MarkEvent) => void
  readonly #settlers = new Map<Mark, (outcome: MarkOutcome) => void>()
  // Names of marks that were settled before their report, which may still come.
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

  /** Number of marks that jambonz is still to report. */
  get waiting(): number {
    return this.#placed.reduce((sum, { real }) => sum + Number(real), 0)
  }

  get full(): boolean {
    return this.waiting >= MAX_MARKS
  }

  /** ms, position of the first mark that jambonz has not reported: the caller has not heard more. */
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

  /** Notes that audio was sent: the marks before it are now inside the audio. */
  enterAudio(): void {
    for (const mark of this.#placed) if (mark.real) mark.inBand = true
  }

  /** Returns true for the late report of a mark that was settled already. */
  isLate({ name }: MarkEvent): boolean {
    return this.#unreported.delete(name)
  }

  /** Returns the mark of a report. */
  find({ name }: MarkEvent): Mark | undefined {
    return this.#placed.find(({ real, wireName }) => real && wireName === name)
  }

  /** Takes jambonz' report of a mark. */
  report(mark: Mark, event: MarkOutcome): void {
    if (event === 'playout') {
      // The marks before it have been played, too. jambonz will not report them any more.
      while (this.#placed[0] !== mark) this.#settle(this.#placed[0], 'playout', false)
    } else if (mark.inBand) this.#stale++
    this.#settle(mark, event, true)
  }

  /** Ignores the reports of jambonz, which were wrong: from now on the clock decides. */
  distrust(): void {
    for (const mark of this.#placed.filter(({ real }) => real)) {
      mark.real = false
      this.#expectLate(mark)
    }
  }

  /** Number of marks whose samples jambonz threw away, but still waits for: they shift all later marks. */
  get stale(): number {
    return this.#stale
  }

  /** Notes that samples for the stale marks were sent. */
  cured(): void {
    this.#stale = 0
  }

  /** Settles the marks of the clock that have been reached. */
  played(playedMs: number): void {
    for (
      let first = this.#placed[0];
      first !== undefined && !first.real && first.positionMs <= playedMs;
      first = this.#placed[0]
    ) {
      this.#settle(first, 'playout', false)
    }
  }

  /** Settles the oldest mark if jambonz failed to report it in time, and returns it. */
  takeLost(now: number): Mark | undefined {
    const first = this.#placed[0]
    if (first === undefined || !first.real || now < first.dueAt) return undefined
    this.#settle(first, 'playout', false)
    return first
  }

  /** Settles the marks of the clock: their audio was cleared. jambonz reports the others. */
  clearClocked(): void {
    for (const mark of this.#placed.filter(({ real }) => !real)) this.#settle(mark, 'cleared', false)
  }

  /** Settles all marks: jambonz reports no more of them. */
  clearAll(): void {
    for (const mark of [...this.#placed]) {
      if (mark.inBand) this.#stale++
      this.#settle(mark, 'cleared', false)
    }
  }

  /** Settles all marks of the application. jambonz still counts them, and reports them. */
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
 * A clear that jambonz may not have carried out yet. Audio that reaches jambonz before that would be thrown away, too.
 * The clear is over when marks come back as cleared. If no mark is waiting, a fence is sent after the kill: a mark
 * behind no audio, which jambonz reports as soon as it reads it.
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

  /** Returns the name of the fence to send; undefined if it was sent already. */
  raiseFence(): string | undefined {
    if (this.#fence !== undefined) return undefined
    this.#fence = `${FENCE}${++this.#count}`
    return this.#fence
  }

  /** Returns true if a mark is a fence, even a late one. */
  isFence(name: string): boolean {
    return name.startsWith(FENCE)
  }

  end(): void {
    this.#until = undefined
    this.#fence = undefined
  }
}

/** Keeps samples that look like marks out of the application's audio, once marks are in use. */
export class MarkSamples {
  #avoided = false
  // ms on the clock: until then, audio with such samples may be playing.
  #playedUntil = -Infinity

  /** Replaces such samples from now on: marks are in use. */
  avoid(): void {
    this.#avoided = true
  }

  /** Returns the audio to send. */
  without(audio: Buffer): Buffer {
    return this.#avoided ? withoutMarkSamples(audio) : audio
  }

  /** Notes audio that was sent. `playedUntil`: ms on the clock, its end. */
  sent(audio: Buffer, playedUntil: number): void {
    if (!this.#avoided && hasMarkSample(audio)) this.#playedUntil = playedUntil + PLAYOUT_MARGIN
  }

  /** Returns true while audio with such samples may be playing. */
  mayPlay(now: number): boolean {
    return now < this.#playedUntil
  }
}
